// The pages that a person sees: choose an account, agree or not. Plain forms, no script.

const ENTITIES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

export const escapeHtml = (text) => String(text).replace(/[&<>"']/g, (letter) => ENTITIES[letter]);

export function accountsPage(title, action, accounts) {
  const choices = accounts.map(
    ({ id, name, claims }) => `<button name="account" value="${escapeHtml(id)}">
      ${escapeHtml(name)}<br><small>${escapeHtml(claims.email ?? 'no address')}</small></button>`,
  );
  return page(`${title}: choose an account`, action, choices.join('\n'));
}

export function consentPage(title, action, client, scopes) {
  const asked = escapeHtml(scopes.join(', '));
  return page(
    `${title}: ${escapeHtml(client)} asks for ${asked}`,
    action,
    '<button name="agree" value="yes">Continue</button>\n<button name="agree" value="no">Cancel</button>',
  );
}

function page(title, action, body) {
  return `<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width">
  <title>${title}</title>
  <style>
    body { font: 1rem system-ui; max-width: 28rem; margin: 4rem auto; padding: 0 1rem; }
    button { display: block; width: 100%; margin: .5rem 0; padding: .75rem; text-align: left; font: inherit; }
  </style>
</head>
<body>
  <h1>${title}</h1>
  <p>A stand-in on this machine. No account here is real.</p>
  <form method="post" action="${escapeHtml(action)}">${body}</form>
</body>
</html>`;
}
