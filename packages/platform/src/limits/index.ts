/**
 * Limits: how much of what comes in is taken, from one person, from one address, and in one request. It never judges who
 * somebody is or what they may do, and nothing in it waits.
 */
export { cookieOf, localPath, readBody } from './incoming.ts';
