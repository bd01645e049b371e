/**
 * The command line. It speaks HTTP to a server through `client`, over TCP or the local administration socket, and starts
 * one with `up`. Data goes to stdout, everything else to stderr. It keeps tokens in files of mode 0600 alone, and takes
 * no secret from an argument.
 */
export type { Io } from './io.ts';
export { createProgram, run } from './run.ts';
