import { Writable } from "node:stream";
import { expect, it } from "vitest";
import { ProcessStreams } from "../../../cli/output/process_streams.ts";

/** A stream whose reader takes a piece every so many milliseconds. */
function readBy(pauseMs: number): { readonly stream: Writable; readonly taken: () => string } {
  const taken: string[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      taken.push(String(chunk));
      if (Number.isFinite(pauseMs)) setTimeout(done, pauseMs);
    },
  });
  return { stream, taken: () => taken.join("") };
}

function streamsOf(stdout: Writable, stderr: Writable) {
  const codes: number[] = [];
  return { streams: new ProcessStreams(stdout, stderr, (code) => void codes.push(code)), codes };
}

const text = "é".repeat(300_000);

it("a slow reader gets everything before the end", async () => {
  const [out, err] = [readBy(20), readBy(20)];
  const { streams, codes } = streamsOf(out.stream, err.stream);
  streams.out(text);
  streams.err(text);
  out.stream.write("by a library");
  await streams.end(3, 50); // each piece takes less
  expect([codes, out.taken(), err.taken()]).toEqual([[3], `${text}by a library`, text]);
});

it("a reader that takes nothing is waited for as long as was said", async () => {
  const { streams, codes } = streamsOf(readBy(Number.POSITIVE_INFINITY).stream, readBy(0).stream);
  streams.out(text);
  await streams.end(143, 100); // for ever, up to this test's own limit, if it did not give up
  expect(codes).toEqual([143]);
});

function failing(code: string): Writable {
  return new Writable({
    write: (_chunk, _encoding, done) => done(Object.assign(new Error(`${code}: broken`), { code })),
  });
}

it("the first call of end decides, and nothing is printed after it", async () => {
  const [out, err] = [readBy(1), readBy(1)];
  const { streams, codes } = streamsOf(out.stream, err.stream);
  const ended = streams.end(130);
  await streams.end(0);
  await ended;
  streams.out("late");
  expect([codes, out.taken()]).toEqual([[130], ""]);
});

it.each([
  ["EPIPE", 0],
  ["EIO", 0],
  ["ENOSPC", 1],
])("stdout that fails with %s ends with %i", async (code, expected) => {
  const { streams, codes } = streamsOf(failing(code), readBy(0).stream);
  streams.out("a");
  await new Promise((resolve) => setImmediate(resolve));
  expect(codes).toEqual([]); // the command goes on
  streams.out("b");
  await streams.end(0);
  expect(codes).toEqual([expected]);
});

it("a command that only prints ends with its reader", async () => {
  const { streams, codes } = streamsOf(failing("EPIPE"), readBy(0).stream);
  streams.endWithReader();
  streams.out("a");
  await expect.poll(() => codes).toEqual([0]);
});

it("nobody reading stderr is no failure", async () => {
  const { streams, codes } = streamsOf(readBy(0).stream, failing("EPIPE"));
  streams.err("a");
  await new Promise((resolve) => setImmediate(resolve));
  streams.err("b");
  await streams.end(0);
  expect(codes).toEqual([0]);
});
