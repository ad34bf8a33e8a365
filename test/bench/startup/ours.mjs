// The first product of two matrices with the built package.
import { matmul, openDevice } from "mimrefine/engine";
import { columns, depth, left, reportFirst, right, rows } from "./work.mjs";

const device = await openDevice({ notice: () => {} });
const y = matmul(device.tensor(left(), [rows, depth]), device.tensor(right(), [depth, columns]));
reportFirst(await y.read());
