// The JavaScript client as a subject of the bench: told everything by the environment, its result is one JSON file.

import { readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const { URL, TOPIC, ANSWER, OUT, CLIENT } = process.env;
const [EXPECT, SLOTS, MODEL_SECONDS] = ["EXPECT", "SLOTS", "MODEL_SECONDS"].map((name) => Number(process.env[name]));
const { Client, Variables } = await import(CLIENT);

const now = () => performance.now() / 1000;
const mark = () => ({ at: now(), cpu: process.cpuUsage(), requests: { ...requests } });
const requests = { poll: 0, complete: 0 };
const fetched = new Map();
const completed = new Map();
const slept = new Map();
let polled;
let first;

function peakBytes() {
  return 1024 * Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "utf-8"))[1]);
}

function handOver() {
  const last = mark();
  const ends = [...completed.values()].sort((one, other) => one - other);
  const cpu = (of) => (of.cpu.user + of.cpu.system) / 1e6;
  const result = {
    tasks: ends.length,
    since_first_fetch_seconds: ends.at(-1) - first.at,
    since_first_completion_seconds: ends.at(-1) - ends[0],
    cpu_seconds: cpu(last) - cpu(first),
    peak_bytes: peakBytes(),
    requests: Object.fromEntries(Object.entries(last.requests).map(([kind, sent]) => [kind, sent - first.requests[kind]])),
    own_seconds: [...completed].map(([id, end]) => end - fetched.get(id) - slept.get(id)),
  };
  writeFileSync(OUT, JSON.stringify(result));
  process.exit();
}

// Its interceptors see no address. Only a poll has topics.
function count(options) {
  if (options.json.topics) {
    polled = mark();
    requests.poll += 1;
  } else {
    requests.complete += 1;
  }
  return options;
}

const client = new Client({
  baseUrl: URL,
  workerId: "javascript",
  maxTasks: SLOTS,
  maxParallelExecutions: SLOTS,
  interval: 0,
  lockDuration: 45_000,
  asyncResponseTimeout: 1000,
  usePriority: false,
  sorting: [{ sortBy: "createTime", sortOrder: "asc" }],
  interceptors: count,
  autoPoll: false,
});

client.on("poll:success", (tasks) => {
  for (const task of tasks) {
    first ??= polled;
    fetched.set(task.id, now());
  }
  if (fetched.size >= EXPECT) {
    client.stop();
  }
});

client.on("handler:error", (error) => {
  console.error(error);
  process.exit(1);
});

client.subscribe(TOPIC, async ({ task, taskService }) => {
  const asked = now();
  if (MODEL_SECONDS > 0) {
    await sleep(1000 * MODEL_SECONDS);
  }
  slept.set(task.id, now() - asked);
  await taskService.complete(task, new Variables().set("answer", ANSWER));
  completed.set(task.id, now());
  if (completed.size === EXPECT) {
    handOver();
  }
});

client.start();
