import { verbs } from '@onbehalf/resources';
import { CliError, EXIT } from '../error.ts';
import { requireTarget } from '../resource-names.ts';
import { examples, type Register } from '../task.ts';
import { oneLine } from '../terminal.ts';

export const registerCanI: Register = (program, act) => {
  program
    .command('auth')
    .summary('what the policy says')
    .description('Questions to the policy. Nothing is called, and no token is made.')
    .command('can-i <verb> <target>')
    .summary('may you do this? Exit code 6: no')
    .description(
      `Says what the policy decides, and by which rule. VERB: ${verbs.join(', ')}. TARGET: KIND/NAME. Exit code 0: yes, 6: no.`,
    )
    .option('--as <subject>', 'for another user of this server; AUDITOR and ADMIN only')
    .addHelpText(
      'after',
      examples(
        'auth can-i run agent/assistant',
        'auth can-i run agent/assistant --as bob',
        'auth can-i write mcp-server/orders -q && echo yes',
      ),
    )
    .action(
      act<{ as?: string }, [string, string]>(async ({ globals, out, server, exit }, { as }, word, target) => {
        const verb = verbs.find((known) => known === word);
        if (!verb) throw new CliError('usage', `there is no verb ${word}: known are ${verbs.join(', ')}`);
        const { kind, address } = requireTarget(target, undefined, globals);
        const result = await server().client.canI({ verb, kind, ...address, as });
        const answer = result.allowed ? 'yes' : 'no';
        out.one(result, answer, () => answer);
        if (out.format === 'table' || out.format === 'wide') out.hint(oneLine(`${result.rule}: ${result.reason}`));
        if (!result.allowed) exit(EXIT.denied);
      }),
    );
};
