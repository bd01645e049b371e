import type { Reader } from '../store/index.ts';
import { sameCheckpoint } from './checkpoint.ts';
import { AuditError } from './error.ts';
import type { Signer } from './signer.ts';
import { type Accepted, type Checkpoint, inForce, makeAcceptance, type Witness } from './witness.ts';

/** Says to the witness, signed, that what it has and this store does not have counts no more. @throws AuditError */
export async function acceptStore(
  { store, signer, witness }: { store: Reader; signer: Signer; witness: Witness },
  said: { at: string; by: { issuer: string; subject: string }; reason: string },
): Promise<Accepted> {
  const { checkpoints, last } = inForce(await witness.read(), signer);
  const query = store.builder.selectFrom('audit_checkpoints').selectAll().orderBy('seq').compile();
  const stored = new Map((await store.read(query)).map((row): [number, Checkpoint] => [row.seq, row]));
  const first = checkpoints.find((known) => {
    const own = stored.get(known.seq);
    return own === undefined || !sameCheckpoint(own, known);
  });
  if (first === undefined) throw new AuditError('witness_agrees', 'the witness agrees: there is nothing to accept');
  const accepted: Accepted = {
    at: said.at,
    from: first.seq,
    by: `${said.by.issuer} ${said.by.subject}`.trim(),
    reason: said.reason,
  };
  await witness.append(makeAcceptance(signer, { ...accepted, last }));
  return accepted;
}
