// Cobo's JavaScript SDK, unchanged, as a client of the simulator; run by test_javascript_sdk.py.
//
// Reads one object from the argument: {base, secret, client, org, responseKey, steps}. Writes a
// list with what became of each step: {step, status, verified, data or error}.
"use strict";

const crypto = require("node:crypto");

console.log = () => {}; // the SDK prints what it signs
const sdk = require("@cobo/cobo-waas2");

const told = JSON.parse(process.argv[2]);
const api = sdk.ApiClient.instance;
api.setEnv(new sdk.Env(told.base));
api.setPrivateKey(told.secret);
const oauth = new sdk.OAuthApi();
const wallets = new sdk.WalletsApi();
const transactions = new sdk.TransactionsApi();

let refreshToken = "unknown";

function take(tokens) {
    refreshToken = tokens.refresh_token;
    api.setHeader({ Authorization: `Bearer ${tokens.access_token}` });
}

function transfer({ requestId, walletId }) {
    const params = sdk.TransferParams.constructFromObject({
        request_id: requestId,
        source: { source_type: "Asset", wallet_id: walletId },
        token_id: "ETH",
        destination: {
            destination_type: "Address",
            account_output: { address: "0x0", amount: "0.1" },
        },
    });
    return transactions.createTransferTransactionWithHttpInfo({ TransferParams: params });
}

const steps = {
    token: () => oauth.getTokenWithHttpInfo(told.client, told.org, "org_implicit"),
    refresh: () =>
        oauth.refreshTokenWithHttpInfo(
            sdk.RefreshTokenRequest.constructFromObject({
                client_id: told.client,
                grant_type: "refresh_token",
                refresh_token: refreshToken,
            }),
        ),
    wallets: (options) => wallets.listWalletsWithHttpInfo(options),
    chains: (options) => wallets.listSupportedChainsWithHttpInfo(options),
    wallet: ({ id }) => wallets.getWalletByIdWithHttpInfo(id),
    transfer,
    transactions: (options) => transactions.listTransactionsWithHttpInfo(options),
};

// The SDK leaves this to the app.
function verified(response) {
    const x = Buffer.from(told.responseKey, "hex").toString("base64url");
    const key = crypto.createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
    const text = `${response.text}|${response.headers["biz-timestamp"]}`;
    const once = crypto.createHash("sha256").update(text).digest();
    const digest = crypto.createHash("sha256").update(once).digest();
    const signature = Buffer.from(response.headers["biz-resp-signature"] || "", "hex");
    return crypto.verify(null, digest, key, signature);
}

async function main() {
    const results = [];
    for (const { step, ...options } of told.steps) {
        let response;
        const result = { step };
        try {
            const done = await steps[step](options);
            response = done.response;
            result.data = done.data;
            if (step === "token" || step === "refresh") take(done.data);
        } catch (failure) {
            if (!failure.response) throw failure.error || failure;
            response = failure.response;
            result.error = failure.body;
        }
        results.push({ ...result, status: response.status, verified: verified(response) });
    }
    process.stdout.write(JSON.stringify(results));
}

main();
