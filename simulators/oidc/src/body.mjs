// Bodies of requests, as text and bounded.

const MAX_CHARS = 4_096;

/** @throws {RangeError} if the body is longer. */
export async function readText(request) {
  let text = '';
  request.setEncoding('utf8');
  for await (const chunk of request) {
    text += chunk;
    if (text.length > MAX_CHARS) throw new RangeError('the body is too long');
  }
  return text;
}
