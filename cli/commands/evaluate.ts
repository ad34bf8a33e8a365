import { Command } from "commander";
import { compareCommand } from "../evaluation/compare_receipts.ts";
import { protocolCommand } from "../evaluation/protocol_command.ts";
import { clusterProtocol } from "../evaluation/protocols/cluster_protocol.ts";
import { knnProtocol } from "../evaluation/protocols/knn_protocol.ts";
import { labelFreeProtocol } from "../evaluation/protocols/labelfree_protocol.ts";
import { linearProtocol, transferProtocol } from "../evaluation/protocols/linear_protocol.ts";
import { lowShotProtocol } from "../evaluation/protocols/lowshot_protocol.ts";
import { robustnessProtocol } from "../evaluation/protocols/robustness_protocol.ts";
import { segmentProtocol } from "../evaluation/protocols/segment_protocol.ts";
import { vtabProtocol } from "../evaluation/protocols/vtab_protocol.ts";
import type { CommandContext } from "../program/context.ts";

/** `mimrefine evaluate PROTOCOL` */
export function evaluateCommand(context: CommandContext): Command {
  const command = new Command("evaluate")
    .summary("judge an encoder by a protocol of the field")
    .description(
      "Measures what an encoder knows: one protocol each, with the same inputs and outputs for all. Every evaluation can leave a receipt (--out) with all that its number depends on, and compare a second encoder (--compare).",
    );
  command.addCommand(protocolCommand(context, knnProtocol));
  command.addCommand(protocolCommand(context, linearProtocol));
  command.addCommand(protocolCommand(context, transferProtocol));
  command.addCommand(protocolCommand(context, segmentProtocol));
  command.addCommand(protocolCommand(context, lowShotProtocol));
  command.addCommand(protocolCommand(context, clusterProtocol));
  command.addCommand(protocolCommand(context, robustnessProtocol));
  command.addCommand(protocolCommand(context, labelFreeProtocol));
  command.addCommand(protocolCommand(context, vtabProtocol));
  command.addCommand(compareCommand(context));
  return command;
}
