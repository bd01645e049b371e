import type { ServerResponse } from 'node:http';
import type { ReplyAnomaly } from './anomalies.ts';

export function sendJson(response: ServerResponse, status: number, body: object): void {
  sendText(response, status, JSON.stringify(body));
}

export function sendText(response: ServerResponse, status: number, json: string): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(json);
}

/** Answers that are wrong as a whole. */
export function misbehave(response: ServerResponse, anomaly: ReplyAnomaly, origin: string): void {
  const answers: Record<ReplyAnomaly, () => void> = {
    html: () => html(response, 403),
    html_200: () => html(response, 200),
    huge: () => flood(response, 50 * 1024 * 1024),
    endless: () => flood(response, Number.POSITIVE_INFINITY),
    redirect_307: () => response.writeHead(307, { location: `${origin}/elsewhere` }).end(),
    redirect_302: () => response.writeHead(302, { location: `${origin}/elsewhere` }).end(),
    status_500: () => sendJson(response, 500, { error: 'server_error' }),
    status_503: () => response.writeHead(503, { 'content-type': 'text/html' }).end('<h1>later</h1>'),
    status_429: () => {
      response.setHeader('retry-after', '0');
      sendJson(response, 429, { error: 'slow_down' });
    },
    hang: () => {},
    cut: () => response.destroy(),
    not_json: () => response.writeHead(200, { 'content-type': 'application/json' }).end('{"access_token": '),
    array: () => response.writeHead(200, { 'content-type': 'application/json' }).end('[]'),
    bad_number: () =>
      response
        .writeHead(200, { 'content-type': 'application/json' })
        .end('{"access_token":"a.b.c","issued_token_type":"x","token_type":"Bearer","expires_in":NaN}'),
  };
  answers[anomaly]();
}

function html(response: ServerResponse, status: number): void {
  response.writeHead(status, { 'content-type': 'text/html' }).end('<!doctype html><title>Sign in</title>');
}

/** Sends on only while somebody reads. */
function flood(response: ServerResponse, bytes: number): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  const chunk = Buffer.alloc(64 * 1024, 'a');
  let left = bytes;
  const pump = () => {
    while (left > 0 && !response.destroyed) {
      left -= chunk.length;
      if (!response.write(chunk)) {
        response.once('drain', pump);
        return;
      }
    }
    response.end();
  };
  pump();
}
