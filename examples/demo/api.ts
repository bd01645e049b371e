import { request } from 'node:http';
import type { TurnResult } from '@onbehalf/resources';

/** JSON over the local administration socket, where the caller is `local-admin`. */
export function adminCall<T>(
  socketPath: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; body: T }> {
  return new Promise((resolve, reject) => {
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const outgoing = request(
      {
        socketPath,
        method,
        path: `/api${path}`,
        headers: { host: 'localhost', ...(payload !== undefined && { 'content-type': 'application/json' }) },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          resolve({ status: response.statusCode ?? 0, body: (text === '' ? undefined : JSON.parse(text)) as T });
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(payload);
  });
}

/** JSON as the person whose token it is. */
export async function call<T>(url: string, token: string, method: string, path: string, body?: unknown): Promise<T> {
  const response = await fetch(`${url}/api${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body !== undefined && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const answer = (await response.json()) as T & { detail?: string; code?: string };
  if (!response.ok)
    throw new Error(`${method} ${path}: ${response.status} ${answer.code ?? ''} ${answer.detail ?? ''}`);
  return answer;
}

export async function runTurn(url: string, token: string, agent: string, message: string): Promise<TurnResult> {
  const session = await call<{ id: string }>(url, token, 'POST', `/agents/${agent}/sessions`, {});
  return call<TurnResult>(url, token, 'POST', `/agents/${agent}/sessions/${session.id}/messages`, { content: message });
}
