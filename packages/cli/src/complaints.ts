import { alarming, type Condition, NOT_YET_HONOURED, type Resource } from '@onbehalf/resources';
import type { Column } from './output.ts';
import { nameOf } from './resource-names.ts';
import { oneLine } from './terminal.ts';

/** A condition that says something is wrong, or that something which was written has no effect. */
export interface Complaint {
  resource: Resource;
  condition: Condition;
}

export const complaintColumns: Column<Complaint>[] = [
  { title: 'RESOURCE', value: ({ resource }) => nameOf(resource) },
  { title: 'CONDITION', value: ({ condition }) => condition.type },
  { title: 'REASON', value: ({ condition }) => condition.reason },
  { title: 'WHAT TO DO', value: ({ condition }) => condition.message },
];

export const complaintText = ({ resource, condition }: Complaint) =>
  oneLine(`${nameOf(resource)}: ${condition.reason}: ${condition.message}`);

/** What has no effect is told, and nothing is broken by it. */
export const isOnlyTold = ({ condition }: Complaint) => condition.reason === NOT_YET_HONOURED;

const isBad = ({ type, status }: Condition) => status === (alarming.has(type) ? 'True' : 'False');

export const complaintsOf = (resource: Resource): Complaint[] =>
  (resource.status.conditions ?? [])
    .filter((condition) => isBad(condition) || condition.reason === NOT_YET_HONOURED)
    .map((condition) => ({ resource, condition }));
