"""Columns of Application Insights' tables."""

from __future__ import annotations

_EVERYWHERE = (
    *("timestamp", "itemType", "itemId", "itemCount", "customDimensions", "customMeasurements"),
    *("operation_Name", "operation_Id", "operation_ParentId", "operation_SyntheticSource"),
    *("session_Id", "user_Id", "user_AuthenticatedId", "user_AccountId", "application_Version"),
    *("client_Type", "client_Model", "client_OS", "client_IP", "client_City", "client_StateOrProvince"),
    *("client_CountryOrRegion", "client_Browser", "cloud_RoleName", "cloud_RoleInstance"),
    *("appId", "appName", "iKey", "sdkVersion"),
)

#: columns by table
COLUMNS: dict[str, tuple[str, ...]] = {
    "traces": ("message", "severityLevel", *_EVERYWHERE),
    "requests": (
        *("id", "source", "name", "url", "success", "resultCode", "duration", "performanceBucket"),
        *_EVERYWHERE,
    ),
    "dependencies": (
        *("id", "target", "type", "name", "data", "success", "resultCode", "duration", "performanceBucket"),
        *_EVERYWHERE,
    ),
    "exceptions": (
        *("problemId", "handledAt", "type", "message", "assembly", "method", "severityLevel", "details"),
        *("outerType", "outerMessage", "outerAssembly", "outerMethod"),
        *("innermostType", "innermostMessage", "innermostAssembly", "innermostMethod"),
        *_EVERYWHERE,
    ),
    "customEvents": ("name", *_EVERYWHERE),
    "customMetrics": (
        *("name", "value", "valueCount", "valueSum", "valueMin", "valueMax", "valueStdDev"),
        *_EVERYWHERE,
    ),
}

#: what the column itemType says in each table
ITEM_TYPES = {
    "traces": "trace",
    "requests": "request",
    "dependencies": "dependency",
    "exceptions": "exception",
    "customEvents": "customEvent",
    "customMetrics": "customMetric",
}
