import { CliError } from '../error.ts';
import { kindWord, nameOf, requireTarget } from '../resource-names.ts';
import { examples, type Register } from '../task.ts';

export const registerConfirm: Register = (program, act) => {
  program
    .command('confirm <kind> [name]')
    .summary('bind a Grant to what has the name of its target by now')
    .description(
      'A Grant is to one thing, not to a name: when that is deleted and made again, it gives nothing until somebody with admin on the new one confirms it.',
    )
    .addHelpText('after', examples('confirm grant/alice-runs-assistant', 'confirm grant alice-runs-assistant -o yaml'))
    .action(
      act<object, [string, string | undefined]>(async ({ globals, out, server }, _options, word, name) => {
        const { kind, address } = requireTarget(word, name, globals);
        if (kind !== 'Grant')
          throw new CliError('usage', `only a grant is confirmed, no ${kindWord(kind)}`, 'onbehalf confirm grant/NAME');
        const confirmed = await server().client.confirmGrant(address);
        out.one(confirmed, nameOf(confirmed), () => `${nameOf(confirmed)} confirmed`);
      }),
    );
};
