"""The allow-lists: which names may stay in a payload, and what the values of each must look like.

Names are compared without case and separators: `order_type`, `orderType` and `order-type` are one.
"""

from __future__ import annotations

import re
from functools import lru_cache


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


VERSION = 1
"""Of the allow-lists and rules; a manifest of another version does not count."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_TYPE = r"(?:application/(?:json|x-www-form-urlencoded|octet-stream)|text/(?:plain|html|csv)|\*/\*)"
_PARAM = r"(?:;\s*(?:charset=(?:utf-8|UTF-8|us-ascii)|q=[01](?:\.\d{1,3})?))*"
_CODING = r"(?:gzip|deflate|br|zstd|identity|\*)(?:;\s*q=[01](?:\.\d{1,3})?)?"
HEADERS = {
    "content-type": re.compile(_TYPE + _PARAM),
    "accept": re.compile(rf"{_TYPE}{_PARAM}(?:,\s*{_TYPE}{_PARAM})*"),
    "accept-encoding": re.compile(rf"{_CODING}(?:,\s*{_CODING})*"),
    "x-bapi-recv-window": re.compile(r"\d{1,6}"),
}
"""Header names that stay, each with the only form its value may have."""

NUMBERS = _names(
    """
    qty quantity amount size sz price px limitprice stopprice stoppx triggerprice takeprofit stoploss trailingstop
    activeprice activationprice callbackrate tplimitprice sllimitprice tptriggerprice sltriggerprice tpsize slsize
    orderqty quoteorderqty quoteqty baseqty origqty leaveqty displayqty visibleqty icebergqty minqty vol volume notional
    funds value leverage lever buyleverage sellleverage margin orderiv iv slippage slippagetolerance ratio delta
    recvwindow depth level limit page pagesize pageno pagenum rows count positionidx triggerdirection fee interestrate
    """
)
SYMBOLS = _names(
    """
    symbol symbols instid instrument instruments instrumentname instrumentid market markets pair pairs currencypair
    product productid contract coin coins asset assets currency currencies ccy basecoin quotecoin settlecoin
    basecurrency quotecurrency settlecurrency underlying chain network
    """
)
WORD_KEYS = _names(
    """
    side ordertype ordtype type timeinforce tif category producttype insttype contracttype tdmode mgnmode marginmode
    tpslmode tpordertype slordertype triggerby tptriggerby sltriggerby smptype selftradeprevention stp stpmode posside
    positionside positionmode accounttype fromaccounttype toaccounttype orderfilter openonly execinst marketunit
    interval period timeframe granularity bar status orderstatus workingtype newordertype
    """
)
TOPIC_KEYS = frozenset({"op", "method", "event", "channel", "channels", "topic", "topics", "stream", "streams"})
FLAGS = _names(
    """
    reduceonly postonly closeontrigger closeposition closeorder hidden iceberg mmp isleverage autoborrow allmatched
    cancelall priceprotect workingonly
    """
)
ORDER_IDS = _names(
    """
    orderid orderids orderlinkid orderlinkids clientorderid clientorderids clordid clordids origclordid
    newclientorderid origclientorderid newclordid cloid clientoid customerorderid clientid ordid ordids oid algoid
    """
)
ACCOUNT_IDS = _names(
    """
    account accountid accountno subaccount subaccountid uid userid user memberid submemberid subuid subacct
    frommemberid tomemberid fromaccountid toaccountid fromuid touid customerid
    """
)
OTHER_IDS = frozenset({"reqid", "requestid", "id", "cid", "reqkey", "listid", "batchid", "transferid"})
NESTED = frozenset(
    {"args", "params", "param", "data", "order", "orders", "request", "requests", "list", "items", "legs"}
)

WORDS = _names(
    """
    buy sell bid ask b s long short both net open close limit market stop stoplimit stopmarket stoploss stoplosslimit
    takeprofit takeprofitlimit takeprofitmarket trailingstop trailingstopmarket conditional oco lmt mkt limitmaker
    gtc gtd gtx ioc fok day postonly rpi goodtillcancel immediateorcancel fillorkill linear inverse spot option options
    perpetual perp swap swaps future futures delivery margin cross isolated crossed cash unified fund funding contract
    derivatives earn full partial lastprice markprice indexprice mark index last none cancelmaker
    canceltaker cancelboth expiremaker expiretaker expireboth order orders stoporder tpslorder basecoin quotecoin new
    active inactive untriggered triggered filled partiallyfilled cancelled canceled rejected expired pending
    1m 3m 5m 15m 30m 1h 2h 4h 6h 12h 1d 1w d w m 1s
    subscribe unsubscribe ping pong create cancel amend modify edit replace place submit batch all add remove update
    orderbook books book depth trade trades publictrade ticker tickers kline candle candles klines bookticker aggtrade
    liquidation position positions execution executions wallet greeks account balance balances private public request
    """
)
"""Values of WORD_KEYS, and words of topics."""

PATH_WORDS = WORDS | _names(
    """
    api v rest fapi dapi sapi papi eapi ws websocket stream public private common com the
    get post put patch delete list query search info status detail details history recent summary count check test time
    server system health version instruments instrument symbols symbol products product markets pairs currencies
    currency coins coin assets asset chains fills fill executions results result open closed pre post reprice
    trading trade active archive realtime snapshot lite quote quotes price prices candlestick rate rates fee fees
    leverage mode risk limits collateral borrow repay loan lend interest ledger ledgers log logs pnl bill bills
    transaction transactions transfer transfers inter sub universal withdraw withdrawal withdrawals deposit deposits
    address addresses user users me member members key keys login logout auth token session accounts subaccount
    subaccounts wallets portfolio portfolios settlement insurance announcement convert broker institution by id ids
    client link spread block rfq grid algo strategy set switch reset confirm preview estimate size maximum max min
    protection mmp disconnect dcp countdown after heartbeat data export report reports page next prev internal
    graphql rpc json html index admin static gateway exchange engine matching execute reduce increase collect
    """
)
"""Words that a path may be made of, also in pairs: `open-orders`, `cancelAll`."""

QUOTES = r"(?:USDT|USDC|USDE|FDUSD|TUSD|BUSD|USD|EUR|GBP|JPY|KRW|TRY|BRL|AUD|SGD|HKD|DAI|BTC|ETH|BNB|PERP)"
PATH_SYMBOL = re.compile(rf"(?:10{{3,6}})?[A-Z]{{2,10}}[-_]?{QUOTES}(?:[-_](?:SWAP|PERP|\d{{6}}))?")
SYMBOL = re.compile(r"(?!\d{9,}$)[A-Z0-9._/-]{1,32}")
"""A symbol or an asset: as traces have them, and not a long number."""
NUMBER = re.compile(r"[+-]?\d{1,18}(?:\.\d{1,18})?(?:[eE][+-]?\d{1,2})?")
STATUS = re.compile(
    r"(?:New|Untriggered|Triggered|PartiallyFilled|Filled|Cancelled|Canceled|PartiallyFilledCanceled|Deactivated|"
    r"Rejected|Expired|PendingNew|PendingCancel|PendingReplace|Replaced|DoneForDay|Stopped|Suspended|Calculated|"
    r"AcceptedForBidding|Accepted|Amended|Executed|OK|ok|HTTP)?(?: ?-?\d{1,6})?"
)
"""What a recording may say became of an operation: a word, a code, or both ("Rejected 110001", "HTTP 503")."""

_DROPPED = _names(
    """
    authorization cookie setcookie useragent referer origin host xforwardedfor xrealip forwarded contentlength
    connection apikey xbapiapikey xbapisign xbapitimestamp xmbxapikey okaccesskey okaccesssign okaccesspassphrase
    okaccesstimestamp sign signature signtype secret passphrase password pin otp totp code token accesstoken
    refreshtoken nonce timestamp ts address toaddress addr destination dest tag memo memoid paymentid destinationtag
    note remark comment text message name firstname lastname fullname beneficiary beneficiaryname vaspentityid email
    phone mobile ip country iban bic acceptlanguage dnt priority te upgradeinsecurerequests cachecontrol pragma header
    headers expires cursor starttime endtime recipient questionnaire feetype forcechain withdrawaddress addresstype
    expiretime source reason
    """
)
"""Names that are counted by name when they are dropped; others may be secrets themselves, and count as "other"."""


def bare(name: str) -> str:
    """A name without case and separators; "" for one that is no name."""
    return _bare(name) if len(name) <= 32 else ""


@lru_cache(maxsize=4096)
def _bare(name: str) -> str:
    return re.sub(r"[-_.\[\]]", "", name).lower() if re.fullmatch(r"[A-Za-z][A-Za-z0-9_.\[\]-]*", name) else ""


def label(name: str) -> str:
    """What a dropped name is counted under."""
    known = bare(name)
    return known if known in _DROPPED or known in KEYS else "other"


KEYS = frozenset().union(
    NUMBERS, SYMBOLS, WORD_KEYS, TOPIC_KEYS, FLAGS, ORDER_IDS, ACCOUNT_IDS, OTHER_IDS, NESTED
)  # fmt: skip
"""Every name of a body or query that may stay."""
