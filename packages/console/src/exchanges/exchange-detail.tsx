import { DEFAULT_NAMESPACE, type ExchangeEntry } from '@onbehalf/resources';
import { Link } from '@tanstack/react-router';
import { agentAddress, shellWord, shortName } from '../api/address.ts';
import { Badge, Token } from '../ui/badge.tsx';
import { CodeBlock } from '../ui/code-block.tsx';
import { CommandLine } from '../ui/copy.tsx';
import { Fact } from '../ui/page.tsx';
import { exactTime, milliseconds, Time } from '../ui/time.tsx';
import { ResultBadge } from './result-badge.tsx';
import { TokenPath } from './token-path.tsx';

export function ExchangeDetail({ entry }: { entry: ExchangeEntry }) {
  const [namespace = DEFAULT_NAMESPACE, name = ''] = entry.agent.split('/');
  const agent = agentAddress({ namespace, name });
  return (
    <div className="grid grid-cols-1 gap-6">
      <div className="flex flex-wrap items-center gap-2">
        <ResultBadge exchange={entry} />
        <Badge>{entry.mode}</Badge>
        {entry.profile !== undefined && <Badge>{entry.profile}</Badge>}
      </div>
      {entry.message !== undefined && (
        <p className="rounded-lg bg-bad-soft px-3.5 py-2.5 break-words text-bad">{entry.message}</p>
      )}
      <TokenPath exchange={entry} full />
      <Comparison entry={entry} />
      <dl className="border-t border-line pt-3">
        <Fact name="When">{exactTime(entry.at)}</Fact>
        <Fact name="Person">
          {entry.principal.subject} <span className="break-all text-faint">of {entry.principal.issuer}</span>
        </Fact>
        <Fact name="Agent">
          <Link to="/agents/$agent" params={{ agent }} className="text-accent-ink underline underline-offset-2">
            {entry.agent}
          </Link>
        </Fact>
        <Fact name="Conversation">
          <Link
            to="/chat/$agent/$session"
            params={{ agent, session: entry.session }}
            className="font-mono text-xs break-all text-accent-ink underline underline-offset-2"
          >
            {entry.session}
          </Link>
        </Fact>
        <Fact name="Tool">
          {shortName(entry.server)}
          {entry.tool !== undefined && `.${entry.tool}`}
        </Fact>
        {entry.tokenService !== undefined && <Fact name="Token service">{entry.tokenService}</Fact>}
        {entry.delegation !== undefined && <Fact name="Delegation">{entry.delegation}</Fact>}
        {entry.ms !== undefined && <Fact name="Took">{milliseconds(entry.ms)}</Fact>}
        {entry.expiresAt !== undefined && (
          <Fact name="Expires">
            {exactTime(entry.expiresAt)} (<Time at={entry.expiresAt} />)
          </Fact>
        )}
        {entry.jti !== undefined && (
          <Fact name="Token id (jti)">
            <code className="font-mono text-xs break-all">{entry.jti}</code>
          </Fact>
        )}
        {entry.hash !== undefined && (
          <Fact name="Hash">
            <code className="font-mono text-xs break-all">{entry.hash}</code>
          </Fact>
        )}
      </dl>
      {entry.claims && <CodeBlock label="Claims" text={JSON.stringify(entry.claims, null, 2)} tall />}
      <CommandLine command={`onbehalf audit trace ${shellWord(entry.turn)}`} />
    </div>
  );
}

function Comparison({ entry }: { entry: ExchangeEntry }) {
  const granted = entry.granted?.scope?.split(' ').filter(Boolean);
  const rows = [
    { name: 'Audience', asked: entry.requested?.audience ?? [], got: entry.granted?.audience },
    { name: 'Resource', asked: entry.requested?.resource ?? [], got: undefined },
    { name: 'Scope', asked: entry.requested?.scopes ?? [], got: granted },
  ];
  return (
    <table className="w-full table-fixed border-collapse text-left align-top">
      <caption className="mb-2 text-left font-semibold">Requested and granted</caption>
      <thead>
        <tr>
          <th scope="col" className="w-20 border-b border-line py-1.5 font-medium">
            <span className="sr-only">Field</span>
          </th>
          <th scope="col" className="border-b border-line py-1.5 text-xs font-medium text-soft">
            Requested
          </th>
          <th scope="col" className="border-b border-line py-1.5 text-xs font-medium text-soft">
            Granted
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map(({ name, asked, got }) => (
          <tr key={name} className="border-b border-line align-top last:border-0">
            <th scope="row" className="py-2 text-xs font-medium text-soft">
              {name}
            </th>
            <td className="py-2 pr-3">
              <Values values={asked} />
            </td>
            <td className="py-2">
              {got === undefined ? (
                <span className="text-faint">{entry.result === 'refused' ? 'nothing' : 'as its audience'}</span>
              ) : (
                <Values values={got} />
              )}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Values({ values }: { values: readonly string[] }) {
  if (values.length === 0) return <span className="text-faint">none</span>;
  return (
    <span className="flex flex-wrap gap-1">
      {values.map((value) => (
        <Token key={value}>{value}</Token>
      ))}
    </span>
  );
}
