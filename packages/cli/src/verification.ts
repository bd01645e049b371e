import type { AuditVerification } from '@onbehalf/resources';

/** What a verification proves, in words: no more, and against whom. */
export function verificationText(result: AuditVerification): string {
  if (!result.ok) {
    if (result.writer === 'persons')
      return `The audit was tampered with: what lines say of people is gone ${result.seq} times, and nobody erased it.`;
    const upTo = result.upTo === undefined ? '' : ` to ${result.upTo}`;
    return `The chain is broken: ${result.reason} at ${result.writer} number ${result.seq}${upTo}.`;
  }
  const { entries, checkpoints, erased, proofs, witness } = result;
  const erasures = erased === 0 ? '' : ` Of ${erased} of them, what they said of a person was erased.`;
  return [
    `The chain is whole: ${entries} entries, ${checkpoints} checkpoints.${erasures}`,
    ...proofs.map(proofText),
    ...witnessText(witness),
  ].join('\n');
}

type Whole = Extract<AuditVerification, { ok: true }>;

function proofText({ claim, since, until, against }: Whole['proofs'][number]): string {
  if (against === 'nobody')
    return claim === 'unchanged'
      ? 'Not proven: that no entry was changed. There is no checkpoint yet.'
      : 'Not proven: that none is missing. Whoever writes the database can cut off the newest entries together with their checkpoints.';
  const what =
    claim === 'unchanged' ? 'no entry under a checkpoint was changed after it was signed' : 'none of those is missing';
  return `Proven for what was written from ${since} to ${until}: ${what}; against ${against}.`;
}

function witnessText({ state, place, accepted }: Whole['witness']): string[] {
  const states = {
    none: 'There is no witness.',
    unreachable: `The witness ${place} cannot be read.`,
    empty: `The witness ${place} holds nothing.`,
    agrees: `The witness ${place} agrees.`,
  };
  return [
    states[state],
    ...accepted.map(({ at, from, by, reason }) => `Accepted by ${by} at ${at}, from checkpoint ${from} on: ${reason}`),
  ];
}
