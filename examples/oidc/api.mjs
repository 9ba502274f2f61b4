// The API behind `make run EXAMPLE=oidc`: it answers with what it received, as JSON. It opens WebSockets and sends nothing.
//
// Listens on a free port of 127.0.0.1 and prints `ready PORT`.

import { createHash } from 'node:crypto';
import http from 'node:http';

const MAX_BODY = 1024 * 1024;

const server = http.createServer((request, response) => {
  const pieces = [];
  let bytes = 0;
  request.on('data', (piece) => {
    bytes += piece.length;
    if (bytes <= MAX_BODY) pieces.push(piece);
  });
  request.on('end', () => {
    const { method, url, headers } = request;
    const body = Buffer.concat(pieces).toString('utf8');
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(`${JSON.stringify({ method, url, headers, body })}\n`);
  });
});

server.on('upgrade', (request, socket) => {
  const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
    + `Sec-WebSocket-Accept: ${createHash('sha1').update(key).digest('base64')}\r\n\r\n`);
  socket.on('data', () => {});
  socket.on('error', () => {});
});

server.listen(0, '127.0.0.1', () => console.log(`ready ${server.address().port}`));
