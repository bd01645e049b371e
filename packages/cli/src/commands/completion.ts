import type { Command } from 'commander';
import { CliError } from '../error.ts';
import { examples, type Register } from '../task.ts';

interface Entry {
  path: string[];
  words: { word: string; about: string }[];
}

export const registerCompletion: Register = (program, act) => {
  program
    .command('completion <shell>')
    .summary('completion for bash, zsh or fish')
    .addHelpText(
      'after',
      examples(
        'completion bash > ~/.local/share/bash-completion/completions/onbehalf',
        'completion fish > ~/.config/fish/completions/onbehalf.fish',
      ),
    )
    .action(
      act<object, [string]>(async ({ out, command }, _options, shell) => {
        const write = shells[shell];
        if (!write)
          throw new CliError(
            'usage',
            `there is no completion for ${shell}: known are ${Object.keys(shells).join(', ')}`,
          );
        out.line(write(entriesOf(command.parent ?? command)));
      }),
    );
};

/** What can follow each command. The texts are our own, and hold no quote. */
function entriesOf(command: Command, path: string[] = []): Entry[] {
  const below = command.commands.map((child) => ({
    word: child.name(),
    about: child.summary() || child.description(),
  }));
  const options = command.options.flatMap((option) =>
    option.long ? [{ word: option.long, about: option.description }] : [],
  );
  const values = command.registeredArguments.flatMap((argument) =>
    (argument.argChoices ?? []).map((word) => ({ word, about: `a ${argument.name()}` })),
  );
  return [
    { path, words: [...below, ...values, ...options] },
    ...command.commands.flatMap((child) => entriesOf(child, [...path, child.name()])),
  ];
}

const plain = (text: string) => text.replace(/['"`$\\:[\]]/g, ' ').trim();

function bash(entries: Entry[]): string {
  const cases = entries.map(
    ({ path, words }) => `    '${path.join(' ')}') words='${words.map(({ word }) => word).join(' ')}' ;;`,
  );
  return `_onbehalf() {
  local words='' path='' word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) path="\${path:+$path }$word" ;; esac
  done
  case "$path" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _onbehalf onbehalf`;
}

function zsh(entries: Entry[]): string {
  const cases = entries.map(
    ({ path, words }) =>
      `    '${path.join(' ')}') list=(${words.map(({ word, about }) => `'${word}:${plain(about)}'`).join(' ')}) ;;`,
  );
  return `#compdef onbehalf
_onbehalf() {
  local -a list
  local path_words='' word
  for word in \${words[2,CURRENT-1]}; do
    case "$word" in -*) ;; *) path_words="\${path_words:+$path_words }$word" ;; esac
  done
  case "$path_words" in
${cases.join('\n')}
  esac
  if (( \${#list} )); then _describe onbehalf list; else _files; fi
}
compdef _onbehalf onbehalf`;
}

function fish(entries: Entry[]): string {
  const lines = entries.flatMap(({ path, words }) =>
    words.map(({ word, about }) => {
      const what = word.startsWith('--') ? `-l ${word.slice(2)}` : `-f -a ${word}`;
      return `complete -c onbehalf -n '__onbehalf_at "${path.join(' ')}"' ${what} -d '${plain(about)}'`;
    }),
  );
  return `function __onbehalf_at
  set -l path
  for word in (commandline -opc)[2..-1]
    string match -q -- '-*' $word; or set -a path $word
  end
  test "$path" = "$argv[1]"
end
${lines.join('\n')}`;
}

const shells: Readonly<Record<string, (entries: Entry[]) => string>> = { bash, zsh, fish };
