import {
  type Device,
  div,
  type GradientNorm,
  type LossScale,
  type LossScaleOptions,
  lossScaleLength,
  lossScaleValues,
  mul,
  type Program,
  readLossScale,
  rows,
  stepControl,
  type Tensor,
} from "../../engine/index.ts";

/**
 * Dynamic loss scaling of a training in f16 (Micikevicius et al. 2018, § 3.2): gradients flow back through f16 multiplied by a
 * factor, so that small ones do not vanish. An update whose gradients overflowed is skipped and the factor halved, all on the
 * device. The factor is part of a run's state.
 */
export class LossScaling {
  /** See `lossScaleValues`; zeros until {@link reset} or restored. */
  readonly state: Tensor;

  constructor(readonly device: Device) {
    this.state = device.zeros([lossScaleLength], "f32", "loss scale");
  }

  /** Writes start values. @throws OptionError */
  reset(options: LossScaleOptions): void {
    this.device.write(this.state, lossScaleValues(options));
  }

  get #factor(): Tensor {
    return rows(this.state, 0, 1);
  }

  /** Records "gradient times factor". */
  scale(gradient: Tensor): Tensor {
    return mul(gradient, this.#factor);
  }

  /**
   * Records whether the update is applied, and the factor of the next one.
   *
   * @param scalars - see `stepScalars`
   * @returns scalars for the optimiser, and the norm without the factor
   */
  control(program: Program, scalars: Tensor, gradients: GradientNorm): { scalars: Tensor; norm: Tensor } {
    const norm = div(gradients.norm, this.#factor); // before the factor changes
    return { norm, scalars: stepControl(program, { ...gradients, scalars, lossScale: this.state }) };
  }

  /** Frees the state. */
  destroy(): void {
    this.state.destroy();
  }

  async read(): Promise<LossScale> {
    return readLossScale(await this.state.read());
  }
}
