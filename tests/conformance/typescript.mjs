// Runs a program against the published client: the program comes on the standard input, the ingress's URL as the
// argument. What the program returns, or what it throws, is printed as one line of JSON.
import * as clients from "@restatedev/restate-sdk-clients";

const url = process.argv[2];
const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);

const AsyncFunction = (async () => {}).constructor;
const program = new AsyncFunction("clients", "ingress", "url", Buffer.concat(chunks).toString("utf-8"));

let outcome;
try {
  outcome = { value: await program(clients, clients.connect({ url }), url) };
} catch (error) {
  outcome = {
    thrown: { name: error.constructor.name, message: error.message, status: error.status, text: error.responseText },
  };
}
process.stdout.write(JSON.stringify(outcome) + "\n", () => process.exit(0));
