import { vitConfig } from "../../models/index.ts";
import { publishedFigures } from "../../refiner/published/index.ts";
import { publishedSettings } from "../../refiner/published/published_settings.ts";

/** Settings of published numbers that a receipt tells otherwise: by its images, its lists, or by being of the usual classifier. */
const toldOtherwise = new Set(["training images", "test images", "subsets", "classifier"]);

/**
 * Names that a receipt of a protocol must have among its settings: a published setting that it does not state is not compared.
 *
 * @param classifier - where the protocol has numbers of several
 */
export function publishedNames(protocol: string, classifier?: string): string[] {
  const columns = publishedFigures
    .filter((figure) => figure.protocol === protocol)
    .map((figure) => publishedSettings(figure, vitConfig("l16")))
    .filter((settings) => classifier === undefined || settings.classifier === classifier);
  const names = new Set(columns.flatMap(Object.keys).filter((name) => !toldOtherwise.has(name)));
  if (names.size === 0) throw new Error(`no published number of ${protocol} states a setting`);
  return [...names].sort();
}
