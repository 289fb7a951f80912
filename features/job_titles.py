"""What a job title tells: how senior, and in which department; by a short list of words in six languages."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

SENIORITY = (
    (5, "managing director|chief|ceo|cfo|cto|cio|coo|cmo|cso|founder|owner|president|chairman|inhaber|inhaberin|gründer"
        "|geschäftsführer|geschäftsführerin|vorstand|gérant|gérante|pdg|fondateur|propriétaire|dueño|fundador|fundadora"
        "|proprietário|proprietária|sócio|sócia|titolare|amministratore delegato|fondatore|eigenaar|directeur général"
        "|director general|diretor geral|diretora geral"),
    (4, "vice president|vp|svp|evp|director|direktor|direktorin|directeur|directrice|directora|diretor|diretora"
        "|direttore|direttrice|bereichsleiter|bereichsleiterin|head"),
    (3, "manager|lead|leader|leiter|leiterin|teamleiter|supervisor|responsable|gerente|chef|jefe|jefa|encarregado"
        "|coordinator|coordenador|coordenadora|coordinador|coordinadora|coordinateur|responsabile|referent|principal"),
    (1, "intern|trainee|student|apprentice|praktikant|praktikantin|werkstudent|azubi|stagiaire|estagiário|estagiária"
        "|becario|becaria|stagista|junior|assistant|assistent|assistentin|assistente|asistente|stagiair"),
)  # fmt: skip
"""Rank and its words, most telling first; whatever else a title says is rank 2."""

DEPARTMENTS = (
    ("sales", "sales|vertrieb|vente|ventes|commercial|commerciale|ventas|comercial|vendas|vendite|business development"
              "|account executive|verkauf|verkoop"),
    ("marketing", "marketing|communications|kommunikation|growth|brand|publicité|werbung"),
    ("finance", "finance|financial|cfo|accounting|controller|controlling|finanzen|buchhaltung|finanzas|financeiro"
                "|finanze|comptable|comptabilité|contabilidad|contabilidade|treasurer"),
    ("technology", "it|cto|cio|engineer|engineering|developer|software|data|technology|technical|technik|entwickler"
                   "|informatik|informatique|tecnología|tecnologia|engenheiro|ingeniero|ingénieur|sistemas|security"),
    ("purchasing", "purchasing|procurement|buyer|einkauf|einkäufer|achats|acheteur|compras|comprador|acquisti|inkoop"),
    ("operations", "operations|coo|logistics|logistik|supply chain|production|produktion|operaciones|operações|betrieb"
                   "|opérations|plant|quality|qualité|qualität"),
    ("human resources", "hr|human resources|people|talent|recruiting|personal|personalleiter|rh|ressources humaines"
               "|recursos humanos"),
    ("management", "ceo|managing director|owner|founder|president|geschäftsführer|geschäftsführerin|vorstand|inhaber"
                   "|inhaberin|gérant|pdg|gerente|general manager|dueño|fundador|proprietário|sócio|titolare"
                   "|director general|diretor geral"),
)  # fmt: skip
"""Department and its words; the first that fits counts."""
OTHER = "another department"


def _holds(title: ir.StringValue, words: str) -> ir.BooleanValue:
    # Not \b: engines differ on whether an accented letter is part of a word.
    return title.re_search(f"(^|[^a-zà-ÿ])({words})([^a-zà-ÿ]|$)")


def read_titles(rows: ir.Table) -> ir.Table:
    """Read each different job title once.

    Parameters
    ----------
    rows : ibis table
        With ``title``.

    Returns
    -------
    ibis table
        ``title, lead_title_seniority`` (1 junior, 2 staff, 3 manager, 4 director, 5 top; float64) and
        ``lead_title_department`` (`OTHER` where no word tells); one row per different title.
    """
    titles = rows.filter(rows.title.notnull()).select("title").distinct()
    lowered = titles.title.lower()
    ranks = [(_holds(lowered, words), float(rank)) for rank, words in SENIORITY]
    departments = [(_holds(lowered, words), name) for name, words in DEPARTMENTS]
    return titles.mutate(
        lead_title_seniority=ibis.cases(*ranks, else_=2.0).cast("float64"),
        lead_title_department=ibis.cases(*departments, else_=OTHER),
    )
