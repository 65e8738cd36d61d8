// Sends events with npm's @fluent-org/logger. One argument, JSON: {port, ca, security, modes, count, seconds, nanos}.
// Prints, as JSON, how many events of each mode were acknowledged, or {"error": why}.
const fs = require("fs");
const {FluentClient, EventTime} = require("@fluent-org/logger");

const given = JSON.parse(process.argv[2]);

async function send(mode) {
  const tls = given.ca ? {ca: fs.readFileSync(given.ca), servername: "localhost"} : undefined;
  const client = new FluentClient("node", {
    eventMode: mode,
    ack: {ackTimeout: 20000},
    security: given.security || undefined,
    socket: {host: "127.0.0.1", port: given.port, timeout: 20000, disableReconnect: true, tls},
  });
  const failed = new Promise((_, reject) => client.socketOn("error", reject));
  await Promise.race([client.connect(), failed]);
  const events = [];
  for (let n = 0; n < given.count; n++) {
    const record = {node_id: "node-1", message_type: "LOG", mode, n, message: `mail to ann${n}@example.com, ä😀`};
    events.push(client.emit(mode, record, new EventTime(given.seconds, given.nanos)));
  }
  await Promise.race([Promise.all(events), failed]);
  await client.disconnect();
  return events.length;
}

(async () => {
  const acknowledged = {};
  for (const mode of given.modes) acknowledged[mode] = await send(mode);
  console.log(JSON.stringify(acknowledged));
  process.exit(0);
})().catch(error => {
  console.log(JSON.stringify({error: String(error)}));
  process.exit(1);
});
