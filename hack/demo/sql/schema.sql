-- SPDX-License-Identifier: Apache-2.0
--
-- The database of a small platform that sells things and talks to devices.

-- Customers. contract_ended_at is empty while the contract runs.
CREATE TABLE accounts (
    id                bigint PRIMARY KEY,
    email             text NOT NULL UNIQUE,
    name              text NOT NULL,
    created_at        timestamptz NOT NULL,
    contract_ended_at timestamptz
);
CREATE INDEX ON accounts (contract_ended_at);

-- Their devices. They have no time of their own: they go when the contract of their account has ended.
CREATE TABLE devices (
    id         bigint PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts (id),
    serial     text NOT NULL UNIQUE,
    model      text NOT NULL
);
CREATE INDEX ON devices (account_id);

-- What the devices report: the bulk of the data, one partition for each month.
CREATE TABLE device_events (
    id          bigint NOT NULL,
    device_id   bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    kind        text NOT NULL,
    value       double precision NOT NULL
) PARTITION BY RANGE (recorded_at);

-- Who accepted which cookies. Imports of earlier years left placeholders in given_at.
CREATE TABLE cookie_consent (
    id       bigint PRIMARY KEY,
    visitor  uuid NOT NULL,
    purpose  text NOT NULL,
    given_at timestamptz
);

-- Requests to the web site.
CREATE TABLE access_log (
    id     bigint PRIMARY KEY,
    at     timestamptz NOT NULL,
    ip     inet,
    path   text NOT NULL,
    status int NOT NULL
);
CREATE INDEX ON access_log (at);

-- Invoices name the customer themselves, as the law wants them. No foreign key: the account may go, the invoice must stay.
CREATE TABLE invoices (
    id           bigint PRIMARY KEY,
    account_id   bigint NOT NULL,
    billed_to    text NOT NULL,
    invoice_date date NOT NULL,
    total        numeric(10, 2) NOT NULL
);
CREATE INDEX ON invoices (invoice_date);
