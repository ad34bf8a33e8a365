/** What every training tells on its way, beside the updates and evaluations of its method. */
export type TrainingEvent =
  | { readonly kind: "checkpoint"; readonly file: string }
  /** An image that cannot be read, once each; others take its place. */
  | { readonly kind: "broken"; readonly image: string; readonly text: string }
  | { readonly kind: "notice"; readonly text: string };

export function notice(text: string): TrainingEvent {
  return { kind: "notice", text };
}
