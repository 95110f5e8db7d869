-- A person who has signed in. What they say of themselves is sealed with their key, the days on which they pause too; who signs in with Apple or Google
-- has no address.
CREATE TABLE members (
    member_id uuid PRIMARY KEY,
    email bytea,
    name bytea,
    time_zone text NOT NULL,
    consent_version text,
    pauses bytea,
    created_at timestamptz NOT NULL
);

-- Found by a hash under the look-up key: an address stands nowhere in the clear. It belongs to the directory of who may
-- come in, as identities do, and refers to no table of members: these may lie in another database one day.
CREATE TABLE addresses (
    address_hash bytea PRIMARY KEY,
    member_id uuid NOT NULL UNIQUE
);

-- Found by the same kind of hash, of the issuer and the subject of an identity token.
CREATE TABLE identities (
    identity_hash bytea PRIMARY KEY,
    provider text NOT NULL CHECK (provider IN ('apple', 'google')),
    member_id uuid NOT NULL
);

CREATE INDEX identities_of_member ON identities (member_id);

-- What an identity token has to answer, as a hash; used once, and with it the token.
CREATE TABLE sign_in_nonces (
    nonce_hash bytea PRIMARY KEY,
    expires_at timestamptz NOT NULL
);

CREATE INDEX sign_in_nonces_by_expiry ON sign_in_nonces (expires_at);

-- At the door nobody is known yet, so every row may be looked up there, by a hash that has to be brought.
-- Behind it a member sees their own row alone, and the keeper erases.
GRANT SELECT (member_id, name, time_zone, consent_version) ON members TO mutuality_door;

-- Who has proven another address is found by it from then on.
GRANT INSERT, UPDATE (email) ON members TO mutuality_door;

GRANT SELECT, INSERT, UPDATE (address_hash) ON addresses TO mutuality_door;

GRANT SELECT, INSERT ON identities TO mutuality_door;

-- The right to change one is what holding it while it is deleted needs.
GRANT SELECT, INSERT, DELETE, UPDATE (expires_at) ON sign_in_nonces TO mutuality_door;

GRANT SELECT, UPDATE (name, time_zone, consent_version, pauses) ON members TO mutuality_service;

GRANT SELECT (provider, member_id) ON identities TO mutuality_service;

GRANT SELECT, DELETE ON members, addresses, identities TO mutuality_keeper;

ALTER TABLE members ENABLE ROW LEVEL SECURITY;

ALTER TABLE members FORCE ROW LEVEL SECURITY;

CREATE POLICY at_the_door ON members TO mutuality_door USING (true);

CREATE POLICY to_erase ON members TO mutuality_keeper USING (true);

CREATE POLICY own ON members TO mutuality_service
USING (member_id = ANY ((SELECT nullif(current_setting('mutuality.members', true), '')::uuid[])::uuid[]));

ALTER TABLE addresses ENABLE ROW LEVEL SECURITY;

ALTER TABLE addresses FORCE ROW LEVEL SECURITY;

CREATE POLICY at_the_door ON addresses TO mutuality_door USING (true);

CREATE POLICY to_erase ON addresses TO mutuality_keeper USING (true);

ALTER TABLE identities ENABLE ROW LEVEL SECURITY;

ALTER TABLE identities FORCE ROW LEVEL SECURITY;

CREATE POLICY at_the_door ON identities TO mutuality_door USING (true);

CREATE POLICY to_erase ON identities TO mutuality_keeper USING (true);

CREATE POLICY own ON identities TO mutuality_service
USING (member_id = ANY ((SELECT nullif(current_setting('mutuality.members', true), '')::uuid[])::uuid[]));

ALTER TABLE sign_in_nonces ENABLE ROW LEVEL SECURITY;

ALTER TABLE sign_in_nonces FORCE ROW LEVEL SECURITY;

CREATE POLICY at_the_door ON sign_in_nonces TO mutuality_door USING (true);
