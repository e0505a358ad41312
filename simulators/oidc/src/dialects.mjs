// What makes the one provider speak as Google or as Apple does.

import { importSPKI, jwtVerify } from 'jose';

const HALF_A_YEAR_S = 15_777_000; // Apple's most for a client secret

/** Code and PKCE, a shared secret, answers in the query, `hd` for accounts of a company. */
export function google({ client_id, client_secret, redirect_uris }) {
  return {
    title: 'Google',
    scopes: ['openid', 'email', 'profile'],
    claims: {
      openid: ['sub'],
      email: ['email', 'email_verified', 'hd'],
      profile: ['name', 'given_name', 'family_name'],
    },
    isPkceRequired: true,
    client: { client_id, client_secret, redirect_uris },
    adjust() {},
  };
}

/** A client secret that is a JWT, answers by form_post, the name once and outside of any signature. */
export function apple({ client_id, team_id, key_id, public_key, redirect_uris }) {
  return {
    title: 'Apple',
    scopes: ['openid', 'email', 'name'],
    claims: { openid: ['sub'], email: ['email', 'email_verified', 'is_private_email'], name: [] },
    isPkceRequired: false,
    // The provider wants a secret on record; it is never compared (see `adjust`).
    client: { client_id, client_secret: 'a JWT is asked for instead', redirect_uris },
    adjust(provider, { accounts, introduced }) {
      provider.Client.prototype.compareClientSecret = (given) =>
        isClientSecret(given, provider.issuer, { client_id, team_id, key_id, public_key });
      provider.on('authorization.success', (ctx, answer) => {
        delete answer.iss; // Apple does not name itself (RFC 9207)
        const { accountId } = ctx.oidc.session;
        const account = accounts.find(({ id }) => id === accountId);
        if (account?.user && !introduced.has(accountId)) {
          introduced.add(accountId);
          answer.user = JSON.stringify(userOf(account, ctx.oidc.requestParamScopes));
        }
      });
      provider.use(onlyFormPost);
      provider.use(plainerMetadata);
    },
  };
}

const userOf = ({ user, claims }, scopes) => ({
  ...(scopes.has('name') && { name: user }),
  ...(scopes.has('email') && { email: claims.email }),
});

async function isClientSecret(secret, issuer, { client_id, team_id, key_id, public_key }) {
  try {
    const { payload, protectedHeader } = await jwtVerify(secret, await importSPKI(public_key, 'ES256'), {
      algorithms: ['ES256'],
      issuer: team_id,
      subject: client_id,
      audience: issuer,
      requiredClaims: ['exp', 'iat'],
    });
    return protectedHeader.kid === key_id && payload.exp - payload.iat <= HALF_A_YEAR_S;
  } catch {
    return false;
  }
}

/** Apple refuses a request for name or address whose answer would stand in a URL. */
async function onlyFormPost(ctx, next) {
  const wantsMore = /\b(name|email)\b/.test(ctx.query.scope ?? '');
  if (ctx.path.endsWith('/auth') && wantsMore && ctx.query.response_mode !== 'form_post') {
    ctx.status = 400;
    ctx.body = { error: 'invalid_request', error_description: 'response_mode must be form_post' };
    return;
  }
  await next();
}

/** Apple's metadata promise neither PKCE nor the issuer in the answer. */
async function plainerMetadata(ctx, next) {
  await next();
  if (ctx.path.endsWith('/.well-known/openid-configuration')) {
    delete ctx.body.code_challenge_methods_supported;
    delete ctx.body.authorization_response_iss_parameter_supported;
  }
}

