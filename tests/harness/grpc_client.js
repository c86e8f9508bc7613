// Run as a program: makes the calls that a file asks for, over one channel, until it is ended.
// The same as grpc_client.py, by another library.

"use strict";

const fs = require("fs");
const grpc = require("@grpc/grpc-js");
require("@grpc/grpc-js-xds").register();

const bytes = (buffer) => buffer;

/** What came of one call. */
function outcome(client, { method, body, metadata: pairs }) {
  const metadata = new grpc.Metadata();
  for (const [name, value] of pairs) metadata.add(name, value);
  const options = { deadline: Date.now() + 20_000 };
  return new Promise((done) => {
    let answer = Buffer.alloc(0);
    const took = (_error, value) => (answer = value ?? answer);
    const call = client.makeUnaryRequest(method, bytes, bytes, Buffer.from(body), metadata, options, took);
    call.on("status", ({ code, details, metadata: trailers }) => {
      const refused = code !== grpc.status.OK;
      done({
        code: grpc.status[code],
        upstream: refused ? null : (trailers.get("x-upstream")[0] ?? null),
        body: refused ? "" : answer.toString(),
        details: refused ? details : "",
      });
    });
  });
}

async function main([target, commands, replies]) {
  const client = new grpc.Client(target, grpc.credentials.createInsecure());
  let done = 0;
  let working = Promise.resolve();
  const look = () => {
    const lines = fs.readFileSync(commands, "utf8").split("\n").slice(done, -1);
    done += lines.length;
    for (const line of lines) {
      working = working.then(async () => {
        fs.appendFileSync(replies, JSON.stringify(await outcome(client, JSON.parse(line))) + "\n");
      });
    }
  };
  setInterval(look, 2);
}

main(process.argv.slice(2));
