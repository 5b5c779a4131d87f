// SPDX-License-Identifier: Apache-2.0
// A Node.js http server on a Unix socket with the routes that udsbackend has, and what only Node can do: early hints,
// and deciding about Expect: 100-continue.
//
//     node node_server.js SOCKET DATAFILE
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const http = require('http');

const [socket, dataFile] = process.argv.slice(2);
const BLOCK = Buffer.alloc(1 << 20, Buffer.from(Array.from({ length: 256 }, (_, i) => i)));
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function answer(response, status, body, headers = {}) {
  response.writeHead(status, { 'Content-Type': 'text/plain', 'Content-Length': Buffer.byteLength(body), ...headers });
  response.end(body);
}

function answerJson(response, value) {
  answer(response, 200, JSON.stringify(value), { 'Content-Type': 'application/json' });
}

function pairs(flat) {
  const list = [];
  for (let i = 0; i < flat.length; i += 2) list.push([flat[i], flat[i + 1]]);
  return list;
}

// Waits until the response takes more, or is gone. Says whether it is still there.
function writable(response) {
  return new Promise((resolve) => {
    response.once('drain', () => resolve(true));
    response.once('close', () => resolve(false));
  });
}

async function echo(request, response) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  const body = Buffer.concat(pieces);
  answerJson(response, {
    method: request.method,
    target: request.url,
    headers: pairs(request.rawHeaders),
    trailers: pairs(request.rawTrailers),
    body_length: body.length,
    body: body.toString(),
  });
}

async function manyBytes(request, response, size) {
  response.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': size });
  for (let left = request.method === 'HEAD' ? 0 : Number(size); left > 0; left -= BLOCK.length) {
    if (!response.write(BLOCK.subarray(0, Math.min(left, BLOCK.length))) && !(await writable(response))) return;
  }
  response.end();
}

// The number of chunks comes behind them, as a trailer.
async function chunked(request, response, count) {
  response.writeHead(200, { 'Content-Type': 'text/plain', Trailer: 'X-Chunks' });
  for (let number = 1; number <= Number(count); number++) {
    if (!response.write(`chunk ${number}\n`) && !(await writable(response))) return;
  }
  response.addTrailers({ 'X-Chunks': count });
  response.end();
}

async function events(request, response) {
  const query = new URL(request.url, 'http://localhost').searchParams;
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
  for (let number = 1; number <= Number(query.get('count') ?? 10); number++) {
    if (number > 1) await pause(Number(query.get('interval') ?? 1000));
    if (response.destroyed) return;
    response.write(`id: ${number}\ndata: ${JSON.stringify({ number, time_ms: Date.now() })}\n\n`);
  }
  response.end();
}

async function upload(request, response) {
  const hash = crypto.createHash('sha256');
  let length = 0;
  for await (const piece of request) {
    hash.update(piece);
    length += piece.length;
  }
  answerJson(response, { length, sha256: hash.digest('hex') });
}

function data(request, response) {
  const content = fs.readFileSync(dataFile);
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
  if (!range) {
    answer(response, 200, content, { 'Content-Type': 'application/octet-stream', 'Accept-Ranges': 'bytes' });
  } else if (Number(range[1]) >= content.length) {
    answer(response, 416, '', { 'Content-Range': `bytes */${content.length}` });
  } else {
    answer(response, 206, content.subarray(Number(range[1]), Number(range[2]) + 1), {
      'Content-Type': 'application/octet-stream',
      'Content-Range': `bytes ${range[1]}-${range[2]}/${content.length}`,
    });
  }
}

async function hints(request, response) {
  response.writeEarlyHints({ link: ['</style.css>; rel=preload; as=style', '</script.js>; rel=preload; as=script'] });
  await pause(50);
  answer(response, 200, 'hinted');
}

// Reads the request's body while it sends it back, piece by piece.
async function mirror(request, response) {
  response.writeHead(200, { 'Content-Type': 'application/octet-stream' });
  for await (const piece of request) {
    if (!response.write(piece) && !(await writable(response))) return;
  }
  response.end();
}

function status(request, response, code) {
  response.writeHead(Number(code), code === '204' || code === '304' ? {} : { 'Content-Length': 0 });
  response.end();
}

async function delay(request, response, milliseconds) {
  await pause(Number(milliseconds));
  answer(response, 200, `waited ${milliseconds} ms`);
}

const routes = [
  [/^\/ux$/, (request, response) => answer(response, 200, 'Hello via unix socket')],
  [/^\/echo$/, echo],
  [/^\/bytes\/(\d+)$/, manyBytes],
  [/^\/chunked\/(\d+)$/, chunked],
  [/^\/status\/(\d+)$/, status],
  [/^\/delay\/(\d+)$/, delay],
  [/^\/sse$/, events],
  [/^\/upload$/, upload],
  [/^\/data\.bin$/, data],
  [/^\/hints$/, hints],
  [/^\/mirror$/, mirror],
];

async function handle(request, response) {
  const path = request.url.split('?')[0];
  for (const [pattern, handler] of routes) {
    const match = pattern.exec(path);
    if (match) {
      await handler(request, response, ...match.slice(1));
      return;
    }
  }
  answer(response, 404, 'no such route\n');
}

const server = http.createServer(handle);
// Without this listener Node says 100 Continue to everybody.
server.on('checkContinue', (request, response) => {
  if (request.url === '/refuse') {
    answer(response, 417, 'refused', { Connection: 'close' });
    return;
  }
  response.setHeader('X-Expectation', request.headers.expect);
  response.writeContinue();
  handle(request, response);
});
server.keepAliveTimeout = 120000;
process.umask(0);
server.listen(socket);
process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeAllConnections();
});
