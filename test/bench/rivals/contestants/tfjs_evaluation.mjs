import { finished, openTfjs } from "./tfjs_device.mjs";

/** The works of test/bench/linear_probe.ts and test/bench/kmeans.ts in TensorFlow.js, on its WebGPU backend. */
export async function open() {
  const { tf, adapter, errors } = await openTfjs();
  return { adapter, errors, probe: (work) => new Probe(tf, work), kMeans: (work) => kMeans(tf, work) };
}

const momentum = 0.9;
const epsilon = 1e-5; // of the variance, as in batch norm everywhere

/**
 * All heads of a grid at once: sources are standardised once per batch, heads of one feature are one product each way, and the
 * gradient of soft-max cross-entropy is written out, so that no product is computed for an input that needs no gradient.
 */
class Probe {
  #tf;
  #rates;
  #classes;
  #features;

  /**
   * @param {{ rates: number[], classes: number, features: { source: string, columns: [number, number], weight: Float32Array }[] }} work -
   *   `weight`: `[width, rates * classes]`, the start
   */
  constructor(tf, { rates, classes, features }) {
    this.#tf = tf;
    this.#classes = classes;
    const outputs = rates.length * classes;
    this.#rates = tf.tensor2d(
      rates.flatMap((rate) => new Array(classes).fill(rate)),
      [1, outputs],
    );
    this.#features = features.map(({ source, columns: [from, to], weight }) => ({
      source,
      columns: [from, to],
      weight: tf.variable(tf.tensor2d(weight, [to - from, outputs])),
      bias: tf.variable(tf.zeros([1, outputs])),
      weightVelocity: tf.variable(tf.zeros([to - from, outputs])),
      biasVelocity: tf.variable(tf.zeros([1, outputs])),
    }));
  }

  /**
   * One update on `rows`, a matrix per source.
   *
   * @returns {Promise<Float32Array>} losses of all heads before it, features after each other
   */
  async update(rows, labels) {
    const tf = this.#tf;
    const losses = tf.tidy(() => {
      const batch = labels.length;
      const given = new Map(
        [...rows].map(([source, data]) => {
          const x = tf.tensor2d(data, [batch, data.length / batch]);
          const { mean, variance } = tf.moments(x, 0, true);
          return [source, tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, epsilon)))];
        }),
      );
      const wanted = tf.reshape(tf.oneHot(tf.tensor1d(labels, "int32"), this.#classes), [batch, 1, this.#classes]);
      const all = this.#features.map((feature) => this.#step(feature, given, wanted, batch));
      return tf.concat(all, 0);
    });
    const values = await losses.data();
    losses.dispose();
    await finished(tf);
    return values;
  }

  #step({ source, columns: [from, to], weight, bias, weightVelocity, biasVelocity }, given, wanted, batch) {
    const tf = this.#tf;
    const heads = this.#rates.size / this.#classes;
    const whole = given.get(source);
    const x = to - from === whole.shape[1] ? whole : tf.slice(whole, [0, from], [batch, to - from]);
    const logits = tf.reshape(tf.fused.matMul({ a: x, b: weight, bias }), [batch, heads, this.#classes]);
    const shifted = tf.sub(logits, tf.max(logits, -1, true));
    const powers = tf.exp(shifted);
    const sums = tf.sum(powers, -1, true);
    const losses = tf.mean(tf.sub(tf.log(sums), tf.sum(tf.mul(shifted, wanted), -1, true)), 0);
    const slope = tf.reshape(tf.div(tf.sub(tf.div(powers, sums), wanted), batch), [batch, this.#rates.size]);
    const move = (values, velocity, gradient) => {
      velocity.assign(tf.add(tf.mul(velocity, momentum), gradient));
      values.assign(tf.sub(values, tf.mul(velocity, this.#rates)));
    };
    move(weight, weightVelocity, tf.matMul(x, slope, true));
    move(bias, biasVelocity, tf.sum(slope, 0, true));
    return tf.reshape(losses, [heads]);
  }
}

/**
 * Lloyd's steps from given centroids; sums of clusters are a product with one-hot rows, which is its fastest way here.
 *
 * @returns {{ run(): Promise<{ assignment: Int32Array, centroids: Float32Array }> }}
 */
function kMeans(tf, { rows, columns, data, start, clusters, iterations }) {
  const x = tf.tensor2d(data, [rows, columns]);
  const assign = (centroids) =>
    tf.argMin(tf.sub(tf.sum(tf.square(centroids), 1), tf.mul(tf.matMul(x, centroids, false, true), 2)), 1);
  return {
    async run() {
      let centroids = tf.tensor2d(start, [clusters, columns]);
      for (let iteration = 0; iteration < iterations; iteration++) {
        const next = tf.tidy(() => {
          const members = tf.oneHot(assign(centroids), clusters);
          const counts = tf.reshape(tf.sum(members, 0), [clusters, 1]);
          return tf.div(tf.matMul(members, x, true), counts);
        });
        centroids.dispose();
        centroids = next;
      }
      const assignment = tf.tidy(() => assign(centroids));
      const result = { assignment: await assignment.data(), centroids: await centroids.data() };
      tf.dispose([assignment, centroids]);
      await finished(tf);
      return result;
    },
  };
}
