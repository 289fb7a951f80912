"""Tables in which a person's records are one lead.

What a joined record tells belongs to its lead from the instant at which the record was known, and never earlier.
"""

from __future__ import annotations

import duckdb

ARRIVAL = "repeat_enquiry"
"""Kind of the event that stands for the arrival of a joined record."""


def show_one_lead(connection: duckdb.DuckDBPyConnection, *, with_events: bool) -> None:
    """Replace leads, deals, events and closings by views in which joined records are part of their lead.

    - ``leads``: a row for the first record of each person. It is lost once any of its records is (a deal opened after
      that makes it open again, as ever).
    - ``deals`` (also those that only name the company whose newest lead a joined record was) and ``events`` of joined
      records are the lead's, the arrival of a record (unless it stood on a bought
      list) an event of the kind `ARRIVAL`.
    - ``closings``: a joined record that was closed at no date ends nothing.

    Parameters
    ----------
    connection : DuckDB connection
        With those tables and ``identity``. What was loaded stays under ``leads_apart`` and so on.
    with_events : bool
        Add arrivals.
    """
    for name in ("leads", "deals", "events", "closings"):
        kind = connection.execute(
            "SELECT table_type FROM information_schema.tables WHERE table_name = $1", [name]
        ).fetchall()[0][0]
        connection.execute(f"ALTER {'VIEW' if kind == 'VIEW' else 'TABLE'} {name} RENAME TO {name}_apart")
    connection.execute(
        """
        CREATE TABLE joined AS
        SELECT lead_id, canonical_id, identity.known_at, account_id, status, closed_at, created_at, entry, campaign,
            leads.system
        FROM identity JOIN leads_apart AS leads USING (lead_id) WHERE canonical_id <> lead_id;
        CREATE TABLE joined_lost AS
        SELECT canonical_id, min(greatest(closed_at, known_at)) AS lost_at FROM joined
        WHERE status = 'lost' AND closed_at IS NOT NULL GROUP BY canonical_id;

        CREATE VIEW leads AS
        SELECT leads.* REPLACE (
            CASE WHEN lost_at IS NOT NULL THEN 'lost' ELSE status END AS status,
            CASE WHEN lost_at IS NULL THEN closed_at WHEN status = 'lost' THEN least(closed_at, lost_at)
                ELSE lost_at END AS closed_at)
        FROM leads_apart AS leads LEFT JOIN joined_lost ON canonical_id = leads.lead_id
        WHERE leads.lead_id NOT IN (SELECT lead_id FROM joined);

        CREATE TABLE joined_deals AS
        SELECT deal_id, deals.system, max_by(leads.lead_id, (leads.created_at, leads.lead_id)) AS newest_id
        FROM deals_apart AS deals JOIN leads_apart AS leads USING (account_id)
        WHERE deals.lead_id IS NULL AND leads.known_at <= coalesce(opened_at, deals.closed_at)
            AND account_id IN (SELECT account_id FROM joined)
        GROUP BY ALL HAVING newest_id IN (SELECT lead_id FROM joined);

        CREATE VIEW deals AS
        SELECT deals.* REPLACE (
            coalesce(canonical_id, deals.lead_id) AS lead_id,
            CASE WHEN opened_at < known_at THEN least(known_at, deals.closed_at) ELSE opened_at END AS opened_at,
            CASE WHEN recorded_at < known_at OR recorded_at IS NULL AND deals.closed_at < known_at THEN known_at
                ELSE recorded_at END AS recorded_at)
        FROM deals_apart AS deals
        LEFT JOIN joined_deals ON deals.lead_id IS NULL AND joined_deals.deal_id = deals.deal_id
            AND joined_deals.system IS NOT DISTINCT FROM deals.system
        LEFT JOIN joined ON joined.lead_id = coalesce(deals.lead_id, newest_id);

        CREATE VIEW closings AS
        SELECT closings.* REPLACE (
            coalesce(canonical_id, closings.lead_id) AS lead_id,
            CASE WHEN closings.known_at < joined.known_at THEN joined.known_at ELSE closings.known_at END AS known_at)
        FROM closings_apart AS closings LEFT JOIN joined ON joined.lead_id = closings.lead_id
        WHERE joined.lead_id IS NULL OR closings.closed_at <> joined.created_at
        """
    )
    arrivals = f"""
        UNION ALL BY NAME
        SELECT 'arrival:' || lead_id AS event_id, canonical_id AS lead_id, created_at AS occurred_at, known_at,
            '{ARRIVAL}' AS kind, 'inbound' AS direction, campaign, system
        FROM joined WHERE entry IS DISTINCT FROM 'contact'
    """  # noqa: S608 (made of our own names)
    connection.execute(
        f"""
        CREATE VIEW events AS
        SELECT events.* REPLACE (
            coalesce(canonical_id, events.lead_id) AS lead_id,
            CASE WHEN events.known_at < joined.known_at THEN joined.known_at ELSE events.known_at END AS known_at)
        FROM events_apart AS events LEFT JOIN joined ON joined.lead_id = events.lead_id
        {arrivals if with_events else ""}
        """  # noqa: S608
    )
