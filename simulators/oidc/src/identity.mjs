// One identity provider: oidc-provider in a dialect, its keys, the two pages that a person sees.

import { randomBytes, randomUUID } from 'node:crypto';
import { SignJWT, exportJWK, generateKeyPair, importJWK } from 'jose';
import { Provider, errors } from 'oidc-provider';

import { readText } from './body.mjs';
import { accountsPage, consentPage } from './pages.mjs';
import { memoryStore } from './store.mjs';

export class IdentityProvider {
  #answer;
  #keys = [];
  #store = memoryStore();
  #cookieKeys = [randomBytes(32).toString('base64url')];

  constructor(name, issuer, dialect, accounts) {
    Object.assign(this, { name, issuer, dialect, accounts });
    this.introduced = new Set(); // whose name Apple has told already
  }

  /** Sign with a new key from now on. The old ones stay published. */
  async rotateKeys() {
    const { privateKey } = await generateKeyPair('RS256', { extractable: true });
    const key = { ...(await exportJWK(privateKey)), kid: randomUUID(), alg: 'RS256', use: 'sig' };
    this.#keys = [key, ...this.#keys].slice(0, 3);
    this.provider = new Provider(this.issuer, this.#configuration());
    this.provider.on('server_error', (_, error) => console.error(error));
    this.dialect.adjust(this.provider, this);
    this.#answer = this.provider.callback();
  }

  /** Serve a request whose URL begins with the provider's path. */
  async serve(request, response, path) {
    const interaction = /^\/interaction\/([\w-]{8,64})$/.exec(path);
    if (interaction) return this.#interact(request, response, interaction[1]);
    request.originalUrl = request.url;
    request.url = request.url.slice(`/${this.name}`.length);
    return this.#answer(request, response);
  }

  /** A notice to the client in Apple's form: a JWT whose claim `events` is JSON text. */
  async notice({ aud = this.dialect.client.client_id, ...event }) {
    return new SignJWT({ events: JSON.stringify({ event_time: Date.now(), ...event }) })
      .setProtectedHeader({ alg: 'RS256', kid: this.#keys[0].kid })
      .setIssuer(this.issuer)
      .setAudience(aud)
      .setIssuedAt()
      .setExpirationTime('1d')
      .setJti(randomUUID())
      .sign(await importJWK(this.#keys[0], 'RS256'));
  }

  #configuration() {
    const { dialect, name } = this;
    return {
      adapter: this.#store,
      jwks: { keys: this.#keys },
      clients: [
        {
          ...dialect.client,
          grant_types: ['authorization_code'],
          response_types: ['code'],
          token_endpoint_auth_method: 'client_secret_post',
        },
      ],
      clientAuthMethods: ['client_secret_post'],
      responseTypes: ['code'],
      scopes: dialect.scopes,
      claims: dialect.claims,
      conformIdTokenClaims: false, // both put what was asked for into the ID token
      pkce: { required: () => dialect.isPkceRequired },
      cookies: {
        keys: this.#cookieKeys,
        names: {
          session: `${name}_session`,
          interaction: `${name}_interaction`,
          resume: `${name}_resume`,
        },
        short: { path: '/', signed: true, sameSite: 'lax' },
      },
      features: { devInteractions: { enabled: false } },
      interactions: { url: (_, { uid }) => `/${name}/interaction/${uid}` },
      findAccount: (_, id) => this.#findAccount(id),
      ttl: { AccessToken: 600, AuthorizationCode: 60, IdToken: 600, Interaction: 600, Session: 3_600, Grant: 3_600 },
    };
  }

  #findAccount(id) {
    const account = this.accounts.find((one) => one.id === id);
    if (!account) return undefined;
    return {
      accountId: id,
      claims: () => ({ sub: id, name: account.name, ...account.claims }),
    };
  }

  async #interact(request, response, uid) {
    try {
      const details = await this.provider.interactionDetails(request, response);
      if (details.uid !== uid) throw new errors.SessionNotFound('another interaction');
      if (request.method === 'POST') await this.#submit(request, response, details);
      else this.#show(response, uid, details);
    } catch (error) {
      const isKnown = error instanceof errors.OIDCProviderError;
      if (!isKnown) console.error(error);
      response.writeHead(isKnown ? 400 : 500, { 'content-type': 'text/plain' });
      response.end(isKnown ? error.error : 'error');
    }
  }

  #show(response, uid, { prompt, params }) {
    const { title } = this.dialect;
    const action = `/${this.name}/interaction/${uid}`;
    const html =
      prompt.name === 'login'
        ? accountsPage(title, action, this.accounts)
        : consentPage(title, action, params.client_id, params.scope.split(' '));
    response.writeHead(200, {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      'x-frame-options': 'DENY',
    });
    response.end(html);
  }

  async #submit(request, response, details) {
    const form = new URLSearchParams(await readText(request));
    let result;
    if (form.get('agree') === 'no') {
      result = { error: 'access_denied', error_description: 'The person did not agree.' };
    } else if (details.prompt.name === 'login') {
      if (!this.#findAccount(form.get('account'))) throw new errors.InvalidRequest('no such account');
      result = { login: { accountId: form.get('account') } };
    } else {
      result = { consent: { grantId: await this.#grant(details) } };
    }
    const mergeWithLastSubmission = !result.error;
    await this.provider.interactionFinished(request, response, result, { mergeWithLastSubmission });
  }

  async #grant({ grantId, params, prompt, session }) {
    const { Grant } = this.provider;
    const grant = grantId
      ? await Grant.find(grantId)
      : new Grant({ accountId: session.accountId, clientId: params.client_id });
    if (prompt.details.missingOIDCScope) grant.addOIDCScope(prompt.details.missingOIDCScope.join(' '));
    if (prompt.details.missingOIDCClaims) grant.addOIDCClaims(prompt.details.missingOIDCClaims);
    return grant.save();
  }
}
