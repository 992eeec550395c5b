/**
 * Makes text of another cluster harmless on a terminal. A control character can move the cursor, change colours, set the
 * clipboard or type in the user's name (ECMA-48); a bidirectional control can make a word read as another ("Trojan Source",
 * CVE-2021-42574); an invisible character can hide one. Pure.
 */

/**
 * C0 except tab and line feed, DEL, C1; zero-width and bidirectional controls (Unicode Standard Annex 9); line and paragraph
 * separators; tag characters; lone surrogates.
 */
const unsafe =
  // oxlint-disable-next-line no-control-regex -- these are what is looked for
  /[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u061C\u180E\u200B-\u200F\u2028-\u202E\u2060-\u206F\uFEFF\uFFF9-\uFFFB\u{E0000}-\u{E007F}\p{Cs}]/gu;

/**
 * The text with each unsafe character as its JSON escape, such as `\u001b`. Tabs and line feeds stay. A JSON document keeps its
 * meaning.
 */
export function plainText(text: string): string {
  return text.replace(unsafe, (character) =>
    [...Array(character.length).keys()]
      .map((index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}

/** The same on one line, so that a message cannot forge a following line. */
export function plainLine(text: string): string {
  return plainText(text.replace(/[\n\t]+/g, ' '));
}
