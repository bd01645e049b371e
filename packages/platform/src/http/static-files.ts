import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join, relative, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { securityHeaders } from './security-headers.ts';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.json': 'application/json',
};

/**
 * The console under `/ui/`. The files are listed once; a path is only ever looked up in that list. Everything that is
 * no file is the application itself, which routes by address.
 */
export async function serveConsole(
  consoleDir: string | undefined,
  publicUrl: string,
): Promise<(request: IncomingMessage, response: ServerResponse) => boolean> {
  const files = new Map<string, string>();
  if (consoleDir !== undefined)
    for (const entry of await readdir(consoleDir, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.isFile()) files.set(`/ui/${relative(consoleDir, path).split(sep).join('/')}`, path);
    }
  const index = files.get('/ui/index.html');
  const headers = Object.entries(securityHeaders(publicUrl, 'console'));

  return (request, response) => {
    const path = (request.url ?? '/').split('?')[0] ?? '/';
    if (path !== '/' && path !== '/ui' && !path.startsWith('/ui/')) return false;
    for (const [name, value] of headers) response.setHeader(name, value);
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.writeHead(405, { allow: 'GET, HEAD' }).end();
    } else if (path === '/' || path === '/ui') {
      response.writeHead(302, { location: '/ui/' }).end();
    } else if (index === undefined) {
      response
        .writeHead(200, { 'content-type': 'text/plain; charset=utf-8' })
        .end('The console has not been built. Run: npm start\n');
    } else {
      const file = files.get(path) ?? index;
      const hashed = path.startsWith('/ui/assets/') && file !== index;
      sendFile(file, hashed, request.method === 'HEAD', response).catch(() => response.destroy());
    }
    return true;
  };
}

async function sendFile(file: string, immutable: boolean, head: boolean, response: ServerResponse): Promise<void> {
  try {
    const { size } = await stat(file);
    response.writeHead(200, {
      'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
      'content-length': size,
      'cache-control': immutable ? 'public, max-age=31536000, immutable' : 'no-cache',
    });
    if (head) response.end();
    // A download that breaks off gives the file back.
    else await pipeline(createReadStream(file), response);
  } catch {
    if (response.headersSent) response.destroy();
    else response.writeHead(404).end();
  }
}
