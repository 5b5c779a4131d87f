// SPDX-License-Identifier: Apache-2.0
// A WebSocket server on a Unix socket, with the ws module of Node.js: what websockets_server.py is in Python, which says
// what it does.
//
//     node ws_server.js SOCKET
'use strict';

const fs = require('fs');
const http = require('http');
const { WebSocketServer } = require('ws');

const PROTOCOLS = ['chat.v2', 'chat.v1'];
let closed = '';

const sockets = new WebSocketServer({
  noServer: true,
  maxPayload: 0,
  perMessageDeflate: true,
  handleProtocols: (offered) => PROTOCOLS.find((name) => offered.has(name)) ?? false,
});

function take(socket, data, isBinary) {
  const [word, ...rest] = isBinary ? [] : data.toString().split(' ');
  if (word === 'close') {
    socket.close(Number(rest[0]), rest.slice(1).join(' '));
  } else if (word === 'ping') {
    socket.once('pong', (payload) => socket.send(payload.toString() === rest.join(' ') ? 'pong' : 'another pong'));
    socket.ping(rest.join(' '));
  } else {
    socket.send(data, { binary: isBinary });
  }
}

sockets.on('connection', (socket) => {
  socket.on('message', (data, isBinary) => take(socket, data, isBinary));
  socket.on('error', () => {}); // `close` follows
  socket.on('close', (code, reason) => {
    closed = `${code} ${reason}`.trim();
  });
});

function answer(response, status, text, headers = {}) {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', ...headers });
  response.end(text);
}

const server = http.createServer((request, response) => {
  if (request.url === '/closed') answer(response, 200, closed);
  else if (request.url === '/ws') answer(response, 426, 'Upgrade Required', { Upgrade: 'websocket', Connection: 'Upgrade' });
  else answer(response, 404, 'no such route\n');
});

server.on('upgrade', (request, connection, head) => {
  if (request.url.split('?')[0] === '/ws') {
    sockets.handleUpgrade(request, connection, head, (socket) => sockets.emit('connection', socket));
  } else {
    connection.end('HTTP/1.1 403 Forbidden\r\nX-Why: so\r\nContent-Length: 7\r\nConnection: close\r\n\r\nrefused');
  }
});

process.umask(0);
fs.rmSync(process.argv[2], { force: true }); // of one that was killed
server.listen({ path: process.argv[2], backlog: 1024 });
process.on('SIGTERM', () => {
  for (const socket of sockets.clients) socket.terminate();
  server.close(() => process.exit(0));
  server.closeAllConnections();
});
