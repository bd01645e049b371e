import type { Compilable, CompiledQuery, Kysely } from 'kysely';
import type { Tables } from './tables.ts';

/** Stands for a value while its query is compiled. */
class Slot {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/**
 * A query that is compiled at its first use and filled in afterwards: compiling costs as much as writing. `make` puts
 * each value somewhere as it is, and decides nothing by it.
 */
export function prepared<Values extends object>(
  make: (builder: Kysely<Tables>, values: Values) => Compilable,
): (builder: Kysely<Tables>, values: Values) => CompiledQuery<unknown> {
  const compiled = new WeakMap<Kysely<Tables>, CompiledQuery<unknown>>();
  return (builder, values) => {
    let query = compiled.get(builder);
    if (query === undefined) {
      const slots = Object.fromEntries(Object.keys(values).map((name) => [name, new Slot(name)]));
      query = make(builder, slots as Values).compile();
      compiled.set(builder, query);
    }
    return {
      ...query,
      parameters: query.parameters.map((one) => (one instanceof Slot ? Reflect.get(values, one.name) : one)),
    };
  };
}
