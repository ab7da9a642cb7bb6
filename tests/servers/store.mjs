// What the authorization server remembers: oidc-provider's adapter over plain maps, shared by every
// instance of the server in this process, so that opaque tokens and grants survive a rotation of keys.

const models = new Map();
const byGrant = new Map();

function table(model) {
  if (!models.has(model)) models.set(model, new Map());
  return models.get(model);
}

function find(model, matches) {
  for (const [id, entry] of table(model)) {
    if (matches(entry.payload)) return table(model).has(id) ? entry.payload : undefined;
  }
  return undefined;
}

export class Store {
  constructor(model) { this.model = model; }

  async upsert(id, payload, expiresIn) {
    table(this.model).set(id, { payload, expires: expiresIn ? Date.now() + expiresIn * 1000 : Infinity });
    if (payload.grantId) {
      if (!byGrant.has(payload.grantId)) byGrant.set(payload.grantId, []);
      byGrant.get(payload.grantId).push([this.model, id]);
    }
  }

  async find(id) {
    const entry = table(this.model).get(id);
    if (!entry) return undefined;
    if (entry.expires <= Date.now()) {
      table(this.model).delete(id);
      return undefined;
    }
    return entry.payload;
  }

  async findByUid(uid) { return find(this.model, (payload) => payload.uid === uid); }

  async findByUserCode(code) { return find(this.model, (payload) => payload.userCode === code); }

  async consume(id) {
    const entry = table(this.model).get(id);
    if (entry) entry.payload.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) { table(this.model).delete(id); }

  async revokeByGrantId(grantId) {
    for (const [model, id] of byGrant.get(grantId) ?? []) table(model).delete(id);
    byGrant.delete(grantId);
  }
}
