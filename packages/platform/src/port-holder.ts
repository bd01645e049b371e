import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

const LISTEN = '0A';

/** The process that listens on a TCP port, as `name (pid)`, where Linux lets us see it. */
export function portHolder(port: number): string | undefined {
  try {
    const inodes = new Set(['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) => listeners(table, port)));
    if (inodes.size === 0) return undefined;
    for (const pid of readdirSync('/proc'))
      if (/^\d+$/.test(pid) && holds(pid, inodes))
        return `${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()} (${pid})`;
  } catch {
    // Another system, or not ours to see.
  }
  return undefined;
}

/** Columns of proc(5): slot, local address, remote address, state, …, inode in the tenth. */
function listeners(table: string, port: number): string[] {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return readFileSync(table, 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns[1]?.endsWith(wanted) && columns[3] === LISTEN)
    .flatMap((columns) => columns[9] ?? []);
}

function holds(pid: string, inodes: ReadonlySet<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      const link = readlinkSync(`/proc/${pid}/fd/${fd}`);
      return link.startsWith('socket:[') && inodes.has(link.slice(8, -1));
    });
  } catch {
    return false;
  }
}
