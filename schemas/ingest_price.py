"""The third view of the ingest: what counts, what it costs, or why that is not known."""

from __future__ import annotations

from spanledger.schemas.dialects import COUNTED_ROLES, PRICE_PROVIDERS
from spanledger.schemas.ingest_recognise import PRICED_FROM
from spanledger.schemas.prices import RATES, TIERS
from spanledger.schemas.sql_text import listed, mapped, quoted, staged


def price_view() -> tuple[dict[str, str], str]:
    """The columns that `price` makes, and what they are selected from."""
    cached = "ifNull(cache_read_tokens, 0) + ifNull(cache_write_tokens, 0)"
    # A kind without a price of its own is paid as the kind that includes it.
    apart = ("cache_read", "cache_write", "input_audio", "reasoning", "output_audio")
    query = staged(
        "SELECT * FROM ingest_fields",
        {
            "counted": f"has({listed(COUNTED_ROLES)}, role)",
            "model": "lower(if(response_model = '', request_model, response_model))",
            # An emitter that counts cached tokens beside the input, not within it, shows by this sum.
            "all_input": f"if({cached} > input_tokens, input_tokens + {cached}, input_tokens)",
            "price_provider": mapped("lower(provider)", PRICE_PROVIDERS, "lower(provider)"),
        },
        {
            # LowCardinality: the rules are tried once for every model in a block, not for every span.
            "matched_model": "dictGet('{database}.price_match', 'price_model', (if(counted AND model != '', "
            "concat(price_provider, '/', model), ''))::LowCardinality(String))"
        },
        {
            "period": "dictGet('{database}.price_period', ('price_version', 'period', 'tier_starts'), "
            "tuple(matched_model), toDateTime(started))"
        },
        {
            "rate": f"dictGet('{{database}}.price_rate', ({', '.join(map(quoted, RATES))}), "
            f"period.2 * {TIERS} + arrayCount(start -> start < all_input, period.3))"
        },
        {
            f"n_{name}": f"if({_price_of(name)} IS NULL, 0, toInt64(ifNull({name}_tokens, 0)))"
            for name in apart
        }
        | {
            "priced": " OR ".join(
                f"{_price_of(name)} IS NOT NULL" for name in ("input", "output", "request")
            ),
            "used": "all_input IS NOT NULL OR output_tokens IS NOT NULL",
        },
        {
            "n_input": "toInt64(ifNull(all_input, 0)) - n_cache_read - n_cache_write - n_input_audio",
            "n_output": "toInt64(ifNull(output_tokens, 0)) - n_reasoning - n_output_audio",
            "computable": "counted AND priced AND used AND n_input >= 0 AND n_output >= 0",
            # What the provider billed beats what we compute; what an application computed does not.
            "reported": "counted AND cost_reported_usd IS NOT NULL "
            "AND lower(cost_currency) IN ('', 'usd') AND (NOT computable OR cost_origin = 'provider')",
            "computed": "computable AND NOT reported",
            "computed_input": _sum("input", "cache_read", "cache_write", "input_audio"),
            "computed_output": _sum("output", "reasoning", "output_audio"),
        },
    )
    columns = {name: name for name in PRICED_FROM[:-2]} | {
        "input_tokens": "all_input",
        "cost_input_usd": "if(computed, computed_input, NULL)",
        "cost_output_usd": "if(computed, computed_output, NULL)",
        "cost_usd": "multiIf(reported, cost_reported_usd, "
        "computed, computed_input + computed_output + "
        f"ifNull({_price_of('request')}, 0), NULL)",
        "cost_source": "multiIf(reported, 'reported', computed, 'computed', '')",
        "cost_reason": "multiIf(reported OR computed, '', NOT counted, if(used, 'not_counted', ''), "
        "NOT used, 'no_usage', model = '', 'no_model', "
        "matched_model = '', 'unknown_model', NOT priced, 'unit_not_priced', 'impossible_usage')",
        "price_model": "if(computed, matched_model, '')",
        "price_version": "if(computed, period.1, '')",
    }
    return columns, query


def _price_of(kind: str) -> str:
    return f"tupleElement(rate, {list(RATES).index(kind) + 1})"


def _sum(*kinds: str) -> str:
    return " + ".join(f"n_{kind} * ifNull({_price_of(kind)}, 0)" for kind in kinds)
