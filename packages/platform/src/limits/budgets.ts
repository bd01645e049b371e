/** Fill again over their time. `seconds`: a whole one comes back in so long. */
export const RATES = {
  turnsStarted: { seconds: 60, of: 'person', says: 'turns started in a minute' },
  sessionsMade: { seconds: 60, of: 'person', says: 'conversations begun in a minute' },
  tickets: { seconds: 60, of: 'person', says: 'tickets in a minute' },
  trials: { seconds: 60, of: 'person', says: 'exchanges tried by hand in a minute' },
  applies: { seconds: 60, of: 'person', says: 'writes of resources in a minute' },
  passwordsOfName: { seconds: 60, of: 'address', says: 'passwords tried for one name in a minute' },
  passwords: { seconds: 60, of: 'address', says: 'passwords tried in a minute' },
  tokenRefusalsOfClient: { seconds: 60, of: 'address', says: 'refused token requests of one client in a minute' },
  tokenRefusals: { seconds: 60, of: 'address', says: 'refused token requests in a minute' },
  exchanges: { seconds: 60, of: 'client', says: 'token requests of one client for one person in a minute' },
  signIns: { seconds: 600, of: 'address', says: 'sign-ins begun in ten minutes' },
} as const;

/** Taken while something is open, and given back. */
export const HELD = {
  sockets: { of: 'person', says: 'WebSockets open at once' },
  streams: { of: 'person', says: 'event streams open at once' },
  handshakes: { of: 'address', says: 'WebSocket handshakes under way' },
} as const;

/** Counted where the things themselves are counted. */
export const COUNTED = {
  turnsRunning: { of: 'person', says: 'turns running at once' },
  sessionsKept: { of: 'person', says: 'conversations kept' },
  documents: { of: 'person', says: 'documents in one apply' },
} as const;

export type Rate = keyof typeof RATES;
export type Held = keyof typeof HELD;
export type Counted = keyof typeof COUNTED;
export type Budget = Rate | Held | Counted;
