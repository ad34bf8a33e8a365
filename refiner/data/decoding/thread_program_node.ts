import { parentPort, type TransferListItem } from "node:worker_threads";
import type { ThreadReply, ThreadRequest } from "./thread_pool_node.ts";

/** What a thread gives back, and which of its memory goes along with it. */
interface ThreadAnswer<Result> {
  readonly result: Result;
  readonly transfer: readonly TransferListItem[];
}

/** Makes this thread answer the requests of a `ThreadPool`; what `answer` throws is told by its message. */
export function answerRequests<Message, Result>(answer: (message: Message) => Promise<ThreadAnswer<Result>>): void {
  parentPort?.on("message", async ({ id, message }: ThreadRequest<Message>) => {
    try {
      const { result, transfer } = await answer(message);
      parentPort?.postMessage({ id, result } satisfies ThreadReply<Result>, transfer);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      parentPort?.postMessage({ id, reason } satisfies ThreadReply<Result>);
    }
  });
}
