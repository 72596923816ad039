"""Tables, and the triggers that hold the promises even against a program that goes around `Ledger`.

What the triggers refuse: an event that is changed or removed; an evaluation that is removed or leaves a final
state; a charge beyond its cap, or one that is changed after it was settled. SQLite and PostgreSQL hold the same.
"""

from __future__ import annotations

import sqlalchemy as sa

SCHEMA_VERSION = 2

FINAL_STATES = ("DONE", "FAILED_CHARGED")
OPEN_STATES = ("RESERVED", "SUBMITTING", "RUNNING")
CAP_MARK = "lodestone: over the cap"
"""What a refused charge says; `store.py` turns it into a BudgetError."""

metadata = sa.MetaData()
meta = sa.Table(
    "meta", metadata, sa.Column("name", sa.String, primary_key=True), sa.Column("value", sa.Text, nullable=False)
)
events = sa.Table(
    "events",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("up", sa.Double),
    sa.Column("kind", sa.String, nullable=False, index=True),
    sa.Column("round", sa.Integer, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)
plans = sa.Table(
    "plans",
    metadata,
    sa.Column("round", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("state", sa.String, nullable=False),
)
candidates = sa.Table(
    "candidates",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("round", sa.Integer, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("generator", sa.String, nullable=False),
    sa.Column("formula", sa.String, nullable=False),
    sa.Column("stage", sa.String, nullable=False, server_default=""),
    sa.Column("what", sa.String, nullable=False, server_default=""),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("relaxed", sa.Integer, nullable=False, server_default="0"),
    sa.Column("pooled", sa.Integer, nullable=False, server_default="0"),
    sa.Column("energy", sa.Double),
    sa.Column("version", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("candidate", sa.Text, nullable=False),
    sa.Column("relaxation", sa.Text),
    sa.Column("recognition", sa.Text),
    sa.Column("cheap", sa.Text),
    sa.Index("ix_candidates_round", "round", "position"),
    # Covers the counts that a round and `status` ask for, so that they never read the crystals.
    sa.Index("ix_candidates_counts", "generator", "stage", "pooled", "relaxed"),
)
"""`stage`, `what`, `reason`: why it left (`what`: the screen); `pooled`: 1 for a `relaxed` crystal that passed;
`energy`: eV/atom on the potential; `version`: sequence number of the event that last changed the row."""
sa.Index("ix_candidates_pooled", candidates.c.version, sqlite_where=candidates.c.pooled == 1,
         postgresql_where=candidates.c.pooled == 1)  # fmt: skip

evaluations = sa.Table(
    "evaluations",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("position", sa.Integer, nullable=False, unique=True),
    sa.Column("round", sa.Integer, nullable=False, index=True),
    sa.Column("candidate_id", sa.String, nullable=False),
    sa.Column("formula", sa.String, nullable=False, server_default=""),
    sa.Column("purpose", sa.String, nullable=False),
    sa.Column("fidelity", sa.String, nullable=False, server_default=""),
    sa.Column("state", sa.String, nullable=False, index=True),
    sa.Column("handle", sa.Text, nullable=False, server_default=""),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("predicted", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text),
    sa.Column("failure", sa.Text, nullable=False, server_default=""),
    sa.Column("observation", sa.Text),
    sa.Column("version", sa.BigInteger, nullable=False, server_default="0", index=True),
)
"""`handle`: where the work is to be found; `outcome`: the observation's values alone, without its crystal."""
charges = sa.Table(
    "charges",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("resource", sa.String, primary_key=True),
    sa.Column("reserved", sa.BigInteger, nullable=False),
    sa.Column("spent", sa.BigInteger),
)
budget = sa.Table(
    "budget",
    metadata,
    sa.Column("resource", sa.String, primary_key=True),
    sa.Column("cap", sa.BigInteger),
    sa.Column("reserved", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("spent", sa.BigInteger, nullable=False, server_default="0"),
)
"""Running totals of `charges`, kept by the triggers: spent, reserved and left are one query."""

_SQLITE = """
CREATE TRIGGER events_kept BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'lodestone: events are never changed'); END;
CREATE TRIGGER events_not_removed BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'lodestone: events are never removed'); END;
CREATE TRIGGER evaluations_not_removed BEFORE DELETE ON evaluations
BEGIN SELECT RAISE(ABORT, 'lodestone: evaluations are never removed'); END;
CREATE TRIGGER evaluations_final BEFORE UPDATE ON evaluations WHEN OLD.state IN ('DONE', 'FAILED_CHARGED')
BEGIN SELECT RAISE(ABORT, 'lodestone: a finished evaluation is never changed'); END;
CREATE TRIGGER charges_cap BEFORE INSERT ON charges
WHEN NOT EXISTS (SELECT 1 FROM budget WHERE resource = NEW.resource)
  OR EXISTS (SELECT 1 FROM budget WHERE resource = NEW.resource AND spent + reserved + NEW.reserved > cap)
BEGIN SELECT RAISE(ABORT, 'lodestone: over the cap'); END;
CREATE TRIGGER charges_booked AFTER INSERT ON charges
BEGIN UPDATE budget SET reserved = reserved + NEW.reserved WHERE resource = NEW.resource; END;
CREATE TRIGGER charges_frozen BEFORE UPDATE ON charges
WHEN OLD.spent IS NOT NULL OR NEW.spent IS NULL OR NEW.reserved <> OLD.reserved OR NEW.resource <> OLD.resource
BEGIN SELECT RAISE(ABORT, 'lodestone: a charge is settled once'); END;
CREATE TRIGGER charges_settled AFTER UPDATE ON charges
BEGIN UPDATE budget SET reserved = reserved - OLD.reserved, spent = spent + NEW.spent
      WHERE resource = NEW.resource; END;
CREATE TRIGGER charges_not_removed BEFORE DELETE ON charges
BEGIN SELECT RAISE(ABORT, 'lodestone: charges are never removed'); END;
"""

_POSTGRES = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'lodestone: never done: %%', TG_TABLE_NAME; END $$;
CREATE FUNCTION check_charge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM budget WHERE resource = NEW.resource FOR UPDATE)
    OR EXISTS (SELECT 1 FROM budget WHERE resource = NEW.resource AND spent + reserved + NEW.reserved > cap)
  THEN RAISE EXCEPTION 'lodestone: over the cap'; END IF;
  UPDATE budget SET reserved = reserved + NEW.reserved WHERE resource = NEW.resource;
  RETURN NEW;
END $$;
CREATE FUNCTION settle_charge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.spent IS NOT NULL OR NEW.spent IS NULL OR NEW.reserved <> OLD.reserved OR NEW.resource <> OLD.resource
  THEN RAISE EXCEPTION 'lodestone: a charge is settled once'; END IF;
  UPDATE budget SET reserved = reserved - OLD.reserved, spent = spent + NEW.spent WHERE resource = NEW.resource;
  RETURN NEW;
END $$;
CREATE TRIGGER events_kept BEFORE UPDATE OR DELETE ON events FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER evaluations_not_removed BEFORE DELETE ON evaluations FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER evaluations_final BEFORE UPDATE ON evaluations FOR EACH ROW
  WHEN (OLD.state IN ('DONE', 'FAILED_CHARGED')) EXECUTE FUNCTION refuse();
CREATE TRIGGER charges_cap BEFORE INSERT ON charges FOR EACH ROW EXECUTE FUNCTION check_charge();
CREATE TRIGGER charges_settled BEFORE UPDATE ON charges FOR EACH ROW EXECUTE FUNCTION settle_charge();
CREATE TRIGGER charges_not_removed BEFORE DELETE ON charges FOR EACH ROW EXECUTE FUNCTION refuse();
"""


def create_triggers(connection: sa.Connection) -> None:
    """Put the triggers in place, in the dialect of the connection."""
    if connection.dialect.name == "sqlite":
        for statement in _SQLITE.strip().split("END;\n"):
            text = statement.strip().removesuffix("END;").strip()
            connection.exec_driver_sql(f"{text} END")
    else:
        connection.exec_driver_sql(_POSTGRES)
