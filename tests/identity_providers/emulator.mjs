// Starts an emulator of an identity provider, says where it is in one line of JSON, and runs until its standard input ends.
import { createEmulator } from "emulate";

const { service, port, clientId, clientSecret, redirectUri } = JSON.parse(process.argv[2]);
const baseUrl = `http://127.0.0.1:${port}`;
const client = { client_id: clientId, client_secret: clientSecret, name: "Florin", redirect_uris: [redirectUri] };
const seeds = {
  google: {
    users: [
      { email: "pat@corp.example", name: "Pat" },
      { email: "ada@example.com", name: "Not Ada" },
      { email: "unproven@corp.example", name: "Sam", email_verified: false },
    ],
    oauth_clients: [client],
  },
  okta: {
    users: [{ okta_id: "00u_pat", login: "pat@corp.example", first_name: "Pat", last_name: "Doe" }],
    groups: [{ name: "payments-support", description: "", type: "OKTA_GROUP", okta_id: "00g_support" }],
    group_memberships: [{ group_okta_id: "00g_support", user_okta_id: "00u_pat" }],
    authorization_servers: [{ id: "default", name: "default", audiences: ["api://default"] }],
    oauth_clients: [{ ...client, auth_server_id: "default" }],
  },
};
const emulator = await createEmulator({ service, port, baseUrl, seed: { [service]: seeds[service] } });
console.log(JSON.stringify({ url: baseUrl }));
process.stdin.resume();
process.stdin.on("end", () => emulator.close().finally(() => process.exit(0)));
