# Last: from here on the host remembers nothing of it.
rm -f "$PAAS_ROOT/receipts/$PAAS_STEP.json"
log 'removed; its data stays'
