import { readFileSync } from 'node:fs';
import { examples, type Register } from '../task.ts';

export const registerVersion: Register = (program, act) => {
  program
    .command('version')
    .summary('the version of this command line')
    .addHelpText('after', examples('version', 'version -o json'))
    .action(
      act<object, []>(async ({ out }) => {
        const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
          version: string;
        };
        out.one(
          { version, node: process.versions.node },
          version,
          () => `onbehalf ${version} (Node ${process.versions.node})`,
        );
      }),
    );
};
