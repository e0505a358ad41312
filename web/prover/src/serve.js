// What both kinds of worker do with a message: {id, artifacts} keeps the files, {id, claim} proves.
import { prove } from './prove.js';

export function serve(post) {
  let artifacts;
  return async ({ id, claim, artifacts: given }) => {
    try {
      if (given) {
        artifacts = given;
        post({ id });
      } else {
        post({ id, result: await prove(claim, artifacts) });
      }
    } catch (error) {
      post({ id, error: { code: error.code ?? 'proving-failed', message: error.message } });
    }
  };
}
