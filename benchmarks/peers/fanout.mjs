// node `ws` and `socket.io` as fan-out servers, for benchmarks/fanout.py.
//
//     node --expose-gc fanout.mjs ws|socket.io HEAD TAIL WIDTH
//
// Says `ready PORT`, then takes lines: `send COUNT`, `pace RATE COUNT`, `fill COUNT` (to stalled
// listeners alone), `collect` (garbage). The last two answer `done`. Ends when its input ends.
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { Server as SocketIo } from 'socket.io';
import { WebSocket, WebSocketServer } from 'ws';

const [kind, head, tail, digits] = process.argv.slice(2);
const width = Number(digits);
const now = () => process.hrtime.bigint();
const text = (at) => head + String(at).padStart(width, '0') + tail;

function openWs(server) {
  const wss = new WebSocketServer({ server });
  const stalled = new Set();
  wss.on('connection', (socket, request) => {
    if (request.url.includes('stalled')) stalled.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => stalled.delete(socket));
  });
  const broadcast = (sockets, at) => {
    const data = Buffer.from(text(at)); // once a message, not once a listener
    for (const socket of sockets) {
      if (socket.readyState === WebSocket.OPEN) socket.send(data, { binary: false });
    }
  };
  return { all: (at) => broadcast(wss.clients, at), stalled: (at) => broadcast(stalled, at) };
}

function openSocketIo(server) {
  const io = new SocketIo(server, { transports: ['websocket'], serveClient: false });
  io.on('connection', (socket) => {
    if (socket.handshake.query.stalled) socket.join('stalled');
  });
  const message = (at) => JSON.parse(text(at));
  return {
    all: (at) => io.emit('event', message(at)),
    stalled: (at) => io.to('stalled').emit('event', message(at)),
  };
}

const server = createServer();
const show = kind === 'ws' ? openWs(server) : openSocketIo(server);

function pace(rate, count) {
  const began = now();
  const every = BigInt(Math.round(1e9 / rate));
  let sent = 0;
  const next = () => {
    const due = began + BigInt(sent) * every;
    const at = now();
    show.all(at < due ? at : due);
    if (++sent < count) {
      setTimeout(next, Math.max(0, Number(began + BigInt(sent) * every - now()) / 1e6));
    }
  };
  next();
}

const commands = {
  send: (count) => { for (let n = 0; n < count; n++) show.all(now()); },
  pace,
  fill: (count) => {
    for (let n = 0; n < count; n++) show.stalled(now());
    console.log('done');
  },
  collect: () => { globalThis.gc(); console.log('done'); },
};

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const [verb, ...numbers] = line.split(' ');
    commands[verb](...numbers.map(Number));
  })
  .on('close', () => process.exit(0));
server.listen({ port: 0, host: '127.0.0.1', backlog: 2048 }, () => {
  console.log(`ready ${server.address().port}`);
});
