import { type Explanation, jsonSchema, kindNames, nearest } from '@onbehalf/resources';
import { CliError } from '../error.ts';
import { table } from '../output.ts';
import { kindWord, requireKind, requireTarget } from '../resource-names.ts';
import { examples, type Register, type Task } from '../task.ts';
import { oneLine } from '../terminal.ts';

interface Schema {
  type?: string;
  description?: string;
  enum?: unknown[];
  pattern?: string;
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
  required?: string[];
}

export const registerExplain: Register = (program, act) => {
  program
    .command('explain [what]')
    .summary('the fields of a kind, or how an agent resolves')
    .description(
      'KIND or KIND.field.field: what may be written there, without a server. agent/NAME: model, tools, the target of each and where its values come from, and who may call it.',
    )
    .addHelpText(
      'after',
      examples('explain agent.spec.declarative', 'explain mcp-server.spec.auth', 'explain agent/assistant'),
    )
    .action(
      act<object, [string | undefined]>(async (task, _options, what) => {
        if (what === undefined) {
          for (const kind of kindNames) task.out.line(kindWord(kind));
          return;
        }
        if (what.includes('/')) return explainAgent(task, what);
        const [word = '', ...path] = what.split('.');
        const kind = requireKind(word);
        const schema = path.reduce((at, field) => stepInto(at, field, what), jsonSchema(kind) as Schema);
        task.out.one(schema, what, () => fieldsText(what, schema));
      }),
    );
};

function inner(schema: Schema): Schema {
  if (schema.type === 'array' && schema.items) return inner(schema.items);
  if (!schema.properties && typeof schema.additionalProperties === 'object') return inner(schema.additionalProperties);
  return schema;
}

function stepInto(schema: Schema, field: string, what: string): Schema {
  const at = inner(schema);
  const found = at.properties?.[field];
  if (found) return found;
  const known = Object.keys(at.properties ?? {});
  const meant = nearest(field, known);
  const hint = meant
    ? `did you mean ${meant}?`
    : known.length > 0
      ? `known are ${known.join(', ')}`
      : 'it has no fields';
  throw new CliError('usage', `${what}: there is no field ${field}: ${hint}`, 'onbehalf explain');
}

function typeText(schema: Schema): string {
  if (schema.enum) return schema.enum.map(String).join(' | ');
  if (schema.type === 'array') return `[${schema.items ? typeText(schema.items) : ''}]`;
  if (schema.type === 'object' && typeof schema.additionalProperties === 'object' && !schema.properties)
    return `{name: ${typeText(schema.additionalProperties)}}`;
  return schema.type ?? 'any';
}

function fieldsText(what: string, schema: Schema): string {
  const { properties, required = [] } = inner(schema);
  const head = `${what}: ${typeText(schema)}${schema.description === undefined ? '' : `\n${schema.description}`}`;
  if (!properties) return head;
  const rows = Object.entries(properties).map(([name, field]) => [
    `  ${name}`,
    typeText(field),
    required.includes(name) ? 'required' : '',
  ]);
  return [head, ...table(rows)].join('\n');
}

async function explainAgent(task: Task, what: string): Promise<void> {
  const target = requireTarget(what, undefined, task.globals);
  if (target.kind !== 'Agent') throw new CliError('usage', `${what}: only agents resolve`, `onbehalf describe ${what}`);
  const explanation = await task.server().client.explain(target.address);
  task.out.one(explanation, what, () => explanationText(explanation));
}

function explanationText({ agent, model, tools, callers }: Explanation): string {
  const rows = tools.map((tool) => {
    const to = tool.target;
    const of = (field: 'audience' | 'resource' | 'scopes') =>
      to && to[field].length > 0
        ? `${to[field].join(' ')} (${to.origin[field]}${field === 'scopes' && to.ofTool ? ', this tool' : ''})`
        : '-';
    const state = tool.problem ?? (tool.approved ? (tool.requireApproval ? 'asks' : 'ok') : 'not approved');
    return [tool.name, tool.mode, tool.tokenService ?? '-', of('resource'), of('audience'), of('scopes'), state].map(
      oneLine,
    );
  });
  const head = ['TOOL', 'MODE', 'TOKEN SERVICE', 'RESOURCE', 'AUDIENCE', 'SCOPES', 'STATE'];
  const who = callers.map((caller) =>
    [caller.to, caller.verbs.join(','), caller.grant, caller.expiresAt ?? '-'].map(oneLine),
  );
  return [
    `Agent ${agent.namespace}/${agent.name}: ${agent.type}${agent.enabled ? '' : ', switched off'}`,
    `Model: ${model ? oneLine(`${model.name}${model.provider ? ` (${model.provider} ${model.model})` : ''}${model.problem ? `: ${model.problem}` : ''}`) : 'none'}`,
    '',
    ...(rows.length > 0 ? table([head, ...rows]) : ['It has no tools.']),
    '',
    ...(who.length > 0
      ? table([['WHO', 'VERBS', 'GRANT', 'EXPIRES'], ...who])
      : ['Nobody but its owner and ADMIN may call it.']),
  ].join('\n');
}
