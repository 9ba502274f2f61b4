// The API behind `make run EXAMPLE=phantom`: it says which JWT it received and what is in it. It does not verify the JWT,
// as a real API must.
//
// Listens on a free port of 127.0.0.1 and prints `ready PORT`.

import http from 'node:http';

function payloadOf(jwt) {
  try {
    return JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
}

const server = http.createServer((request, response) => {
  const [, jwt] = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '') ?? [];
  const answer = { message: `API Received JWT: ${jwt ?? '[NONE]'}` };
  if (jwt) answer.tokenPayload = payloadOf(jwt);
  request.resume();
  request.on('end', () => {
    response.writeHead(200, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify(answer));
  });
});

server.listen(0, '127.0.0.1', () => console.log(`ready ${server.address().port}`));
