//! Runbooks of a finding's reason and its check; and of how an action ended.

use super::{Explained, NOTHING, Runbook};
use crate::vocabulary::{ActionResult, Check, FindingReason};

impl Explained for FindingReason {
    fn runbook(self) -> Runbook {
        match self {
            Self::OptedOut => Runbook {
                see: "Counted in `status.streams.ignored` or `status.consumers.ignored`; it is not listed in \
                     `status.findings`. `nats stream info S` or `nats consumer info S C` shows \
                     `leeward.dev/ignore: true` under Metadata. The mark on a stream holds for its consumers \
                     too.",
                act: "Nothing, if that is meant. Otherwise the owner removes the key from the metadata of the \
                     stream or consumer.",
            },
            Self::Ephemeral => Runbook {
                see: "Counted in `status.consumers.ignored`; it is not listed in `status.findings`. `nats \
                     consumer info S C --json` has no `durable_name`.",
                act: "Nothing as a rule: such a consumer lives no longer than its client. Where its place \
                     matters, let the client create it with a durable name.",
            },
            Self::CoolingDown => Runbook {
                see: "The finding's `nextAttemptTime` says when the cooldown ends; `status.recentActions` has \
                     what was done last.",
                act: "Wait. If the same stream or consumer comes back here after successes, something else \
                     moves it away again: look for its name in `status.recentActions`, and for restarts of \
                     home's servers. `disruption.cooldown` (default 30m) sets the time.",
            },
            Self::BudgetExhausted => Runbook {
                see: "`status.budgets` lists each budget with `allowed`, `used` and `resetTime`, when the \
                     next action is free; the Budget column of `kubectl get plp NAME -o wide` is the \
                     tightest one.",
                act: "Wait until `resetTime`. If that is too slow, raise `max` or shorten `per` under \
                     `disruption.budgets`; the default budget is 10% of the selected streams and consumers \
                     per 10m. All budgets that apply hold, and a `max` of 0 allows nothing.",
            },
            Self::OutsideWindow => Runbook {
                see: "`status.windows` says in `reason` which window forbids it or when the next one opens, \
                      action by action where they differ, and in `nextTransitionTime` when that changes.",
                act: "Wait: actions go on by themselves when a window opens. If the time is wrong, look at \
                     `schedule`, `duration` and `timeZone` (UTC if not given) under `disruption.windows`. \
                     One `Allow` window closes all other time, and `Deny` wins over `Allow`.",
            },
            Self::BreakerOpen => Runbook {
                see: "`status.breaker` has `state: Open`, the times of the `failures`, and in `retryTime` \
                      when one action is tried; while that one runs the state is `HalfOpen`. \
                      `status.recentActions` says which actions failed and why. Results that count are \
                      `Failed`, `TimedOut` and `Stalled`; `Missed` does not.",
                act: "Find out why they failed, and cure that. Then wait for `retryTime`, or change \
                     `resetToken` to close the breaker at once. By default 3 failures within 30m open it for \
                     1h (`disruption.circuitBreaker`).",
            },
            Self::Stabilizing => Runbook {
                see: "`status.home.stable` is false, and the finding's message names the location that \
                     becomes home and when. `status.locations` shows where the connections are; compare with \
                     `nats server report connections --account A`.",
                act: "Wait: nothing moves meanwhile. If it goes on for hours, the clients swing between \
                     locations: look for rolling restarts, or count fewer of them (`clients.excludeUsers`, \
                     `clients.excludeNames`). `home.stabilizationWindow` (default 10m) and \
                     `home.hysteresisPercent` (default 10) decide how steady they must be.",
            },
            Self::UseUnknown => Runbook {
                see: "`home.scope` is `Stream`, and the stream was not sampled yet or not lately, or messages flow \
                      and too few of their clients are known (the finding's message says how many), or its clients \
                      are gone and it stays where they were. `leeward explain S --use` samples it now.",
                act: "Wait: streams that are misplaced are sampled first, the busiest before the others, and \
                      `home.sampling.messagesPerMinute` (default 200) paces it. If it goes on, look at the \
                      message of the condition `Observed`: it says which subjects the user may not listen to \
                      (see nats-permissions.md), or that messages come too fast: then list servers of the location \
                      of the stream's leader in the NatsSystem's `spec.servers`. Publishers that wait for no \
                      acknowledgement are never seen, nor is measured what consumers deliver that come and go: write \
                      a policy for such a stream with `home.scope: Account`, or with the strategy `Preferred`.",
            },
            Self::UsedElsewhere => Runbook {
                see: "The finding's message says from where the stream is used, as far as that is known, and \
                      which share of its messages that explains: too little to move it there, and enough not \
                      to move it to the account's home. `leeward explain S --use` samples it now.",
                act: "Wait for more samples, or let more be seen: grant the user the subjects that `leeward \
                      explain S --use` names; publishers that do not wait for an acknowledgement, and clients \
                      of accounts that import the stream, are never seen. Where the account's home is right for \
                      the stream all the same, write a policy for it with `home.scope: Account`.",
            },
            Self::NoMajorityOfUse => Runbook {
                see: "The finding's message says which share of the stream's use comes from each location. None \
                      has `home.majorityPercent` (default 60).",
                act: "If one of them shall lead it, list it in `home.preferences` and set \
                      `home.onNoMajority: UsePreferences`. Else give each location a stream of its own, or a \
                      mirror to read from. Nothing moves meanwhile.",
            },
            Self::TargetLagging => Runbook {
                see: "The finding's message names the peers. `nats stream info S` or `nats consumer info S C` \
                     shows a replica that is `outdated`, was not seen for 2.5 s, or is more operations \
                     behind than `disruption.gates.maxReplicaLag` (default 256) allows. For a step-down the \
                     peers in home count, for a move all of them.",
                act: "Wait: replicas catch up by themselves. If one does not, look at its server (`nats \
                     server report health`), its disk, and the network between. Raise `maxReplicaLag` where \
                     a stream is written to so fast that its replicas are always further behind.",
            },
            Self::AckPendingHigh => Runbook {
                see: "`nats consumer info S C` shows more `Outstanding Acks` than \
                     `disruption.gates.maxAckPending`. A move of the stream is held for any such consumer of \
                     it.",
                act: "Wait until the clients have acknowledged. If the number does not fall, look at the \
                     clients. If it is usual for this consumer, raise `maxAckPending` or leave it out: \
                     without it there is no limit.",
            },
            Self::RecentlyElected => Runbook {
                see: "`nats stream info S` or `nats consumer info S C` shows for how long the leader leads, \
                     in brackets after its name. `disruption.gates.quietAfterLeaderChange` (default 1m) is \
                     how long it must have.",
                act: "Wait. If it comes again and again, leaders change without Leeward: `nats events \
                     --js-advisory` shows each election, and the servers' logs and load show why.",
            },
            Self::ServerJustStarted => Runbook {
                see: "`nats server list` shows the uptime of home's servers. \
                     `disruption.gates.quietAfterServerStart` (default 2m) is how long a server must have \
                     been up.",
                act: "Wait. If a server never gets that old, it restarts: look at its log first.",
            },
            Self::MoveInProgress => Runbook {
                see: "`nats stream info S` shows more replicas than `Replicas`, or replicas of two clusters. \
                     `status.operations` lists a move that Leeward watches; one that is not listed was begun \
                     by somebody else, or passed its timeout.",
                act: "Wait. If `nats stream info S` shows no progress, look for a replica that does not catch \
                     up, and with `nats consumer info S C` for a consumer that cannot move: one is enough to \
                     hold up the whole move. `nats stream cluster cancel-move S` gives it up; look at the \
                     stream's placement afterwards.",
            },
            Self::StreamMoving => Runbook {
                see: "The stream's own finding says `MoveInProgress`, or `status.operations` lists its move.",
                act: "Wait: a consumer is not acted on while its stream moves, but as part of that move. If it stays, see \
                     [MoveInProgress](#moveinprogress).",
            },
            Self::ActionDisabled => Runbook {
                see: "The finding's `remedy` names the action; in `kubectl get plp NAME -o yaml` it has \
                     `enabled: false` under `spec.actions`. A consumer whose remedy is `FollowsStream` waits \
                     for `streamPlacement`.",
                act: "Enable the action under `spec.actions`. If it is disabled on purpose, leave it so: the \
                     finding then only reports.",
            },
            Self::ManagedElsewhere => Runbook {
                see: "The finding's message names the owner, an object of NACK: see `kubectl get \
                     streams.jetstream.nats.io,keyvalues.jetstream.nats.io,objectstores.jetstream.nats.io \
                     -A`. It says so too when nobody could tell who the owner is.",
                act: "Write the placement into that object, as the message says it; its owner then moves the stream. \
                     Or let the policy do so: `actions.streamPlacement.onManagedStream: PatchOwner`. Only moves \
                     are held, step-downs go on. If the message says that the owner is unknown, let the operator \
                     list these objects.",
            },
            Self::BytesOverLimit => Runbook {
                see: "The finding's message has the stream's size and the limit; `nats stream info S` shows \
                     the size under State.",
                act: "Raise `actions.streamPlacement.maxBytes`, or make the stream smaller. To move this one \
                     by hand at a quiet time: `nats stream edit S --cluster CLUSTER`.",
            },
            Self::StallTooLong => Runbook {
                see: "The estimate is the stream's bytes divided by the rate of the last move, or by 10 MiB/s \
                     while none was measured; `nats stream info S` shows the bytes. Servers up to 2.14 block \
                     the writes of a replicated stream while it copies: `nats server list` shows the \
                     versions.",
                act: "Upgrade the servers to 2.15, which add one replica at a time and block for moments only. Or raise \
                     `actions.streamPlacement.maxStall` (default 10s) where publishers can wait that long, \
                     or move the stream by hand at a quiet time: `nats stream edit S --cluster CLUSTER`.",
            },
            Self::NotWorthIt => Runbook {
                see: "The finding's message says after how long the move has saved the waiting that it causes. \
                      Saved are round trips of the clients, message by message; waited is for the time that the \
                      move takes, and by publishers while the stream takes no writes. `leeward report` shows the \
                      gain, `leeward explain S` the cost.",
                act: "Nothing, if it is idle: it moves when it is used. To move it all the same, raise \
                      `disruption.maxPayback` (default 24h; `0s` sets no limit), or move it by hand.",
            },
            Self::PinnedClient => Runbook {
                see: "`nats consumer info S C` shows a pinned client under the consumer's priority groups \
                     (servers from 2.11 on). A new leader forgets the pin, so that another client may take \
                     over while the first one still works on its messages.",
                act: "If the clients bear that, do it by hand at a quiet time: `nats consumer cluster \
                     step-down S C --preferred SERVER`. Otherwise leave it; it is tried again as soon as no \
                     client is pinned.",
            },
            Self::Contested => Runbook {
                see: "`nats stream info S` shows a placement that the policy did not write, or replicas that \
                      are no longer where the policy moved them; that happened twice, and an event \
                      `PlacementContested` said so. `nats events --js-advisory`, run as a user of the \
                      account, shows who sends updates of the stream.",
                act: "Find the other tool or person and let one of the two decide: take the stream out of the \
                     policy (`streams.exclude`, or metadata `leeward.dev/ignore: \"true\"` on it), or take \
                     the placement out of the other tool. Then change `resetToken`; until then nothing is \
                     done about the stream.",
            },
            Self::SinglePeer => Runbook {
                see: "`nats stream info S` or `nats consumer info S C` shows one replica, on a server outside \
                     home.",
                act: "For a stream: enable `actions.streamPlacement`, or raise its replicas. For a consumer \
                     with one replica on a stream with more: raise its replicas (`nats consumer edit S C --replicas N`), \
                     so that a peer in home can take over, or enable `actions.consumerEvacuation`. The latter \
                     needs servers from 2.15 on; clients whose pull waits at that moment pull again only when it \
                     expires.",
            },
            Self::NoPeerInHome => Runbook {
                see: "`nats consumer info S C` lists the consumer's replicas: all are outside home, although \
                     its stream has replicas in home or is led from there.",
                act: "Give the consumer as many replicas as the stream (`nats consumer edit S C --replicas N`), so that \
                     one of them is in home.",
            },
            Self::NoServersMatch => Runbook {
                see: "`nats stream info S` shows the stream's placement tags; `nats account report \
                     statistics` lists the servers with their tags, and `nats server report jetstream` those \
                     that run JetStream. No server of home that answers has all of the tags.",
                act: "Give home's servers the tags (`server_tags`), or take a tag that no server has out of \
                     the stream's placement. With `topology.key: Cluster` and a `tagPrefix`, the servers of \
                     cluster X need the tag `<tagPrefix>X`.",
            },
            Self::NotEnoughServers => Runbook {
                see: "Compare `Replicas` in `nats stream info S` with the servers of home in `nats server \
                      report jetstream --cluster CLUSTER`. All replicas of a stream lie in one cluster, and \
                      only servers count that answer and have the tags of its placement. Where the servers \
                      are configured with `unique_tag`, no two replicas may share a value of that tag.",
                act: "Bring servers back or add some to home, or lower the stream's replicas. With \
                      `unique_tag`, home needs as many distinct values as the stream has replicas.",
            },
            Self::NoCapacity => Runbook {
                see: "`nats server report jetstream --cluster CLUSTER` shows what home's servers use, `nats \
                      server request jetstream` what they may use and have reserved, and their HA assets. A \
                      replica needs the stream's bytes, or its `max_bytes` if that is more, and must not \
                      exceed `max_ha_assets`. The same word is used when the servers themselves refuse the \
                      placement.",
                act: "Add storage, raise `max_file_store`, `max_memory_store` or `max_ha_assets` in the \
                      servers' configuration, or lower the stream's `max_bytes` or its replicas.",
            },
            Self::NoLeader => Runbook {
                see: "`nats stream info S` shows no leader, or fails with \"JetStream system temporarily \
                     unavailable\" or a timeout. `nats server list` shows which servers are up, `nats server \
                     report health` which streams are not well.",
                act: "Bring the servers of its replicas back: a majority must be up. An election takes some \
                     seconds, and then the word goes by itself.",
            },
            Self::QuorumAtRisk => Runbook {
                see: "The finding's message names the peers that are offline; `nats stream info S` marks them \
                     `OFFLINE`. For a consumer the replicas of its stream count as well.",
                act: "Bring the servers back. Leeward neither removes nor replaces replicas; where a server \
                     is gone for good, `nats server cluster peer-remove NAME`, as a user of the system \
                     account, lets the servers place its replicas elsewhere.",
            },
            Self::PermissionDenied => Runbook {
                see: "The condition `ResolvedRefs` is False and its message names the subjects that the \
                     account's user may not publish. The event says whether it is the inbox that it may not \
                     subscribe to.",
                act: "Allow them to the user, or disable the action under `spec.actions`; if its permissions name \
                     a prefix of inboxes, set `spec.inboxPrefix`. A step-down needs \
                     `$JS.API.STREAM.LEADER.STEPDOWN.>` or `$JS.API.CONSUMER.LEADER.STEPDOWN.>`, a move \
                     `$JS.API.STREAM.UPDATE.>`. A refused action is tried again after five minutes.",
            },
            Self::AnswersDiffer => Runbook {
                see: "`status.recentActions` and the event `AnswersDiffer` have it: one request to the servers was \
                     answered twice, or the answer on the account's connection is not what the stream's leader tells \
                     the system account. `nats server report connections --account A --subject '$JS.API.STREAM.INFO.S'`, as \
                     an administrator of the system account, shows who subscribes to it.",
                act: "Deny `$JS.API.>` and `$SYS.REQ.>` to all other users of the account, as \
                     [permissions](nats-permissions.md#who-else-could-answer) shows it, and find out who answered. \
                     If the stream's owner changed it at that very moment, it passes with the next attempt.",
            },
            Self::ServerTooOld => Runbook {
                see: "`nats server list` shows the versions. Streams are moved only where all servers are \
                     2.9.22 or newer; a server may also refuse what a stream's configuration asks of it.",
                act: "Upgrade the servers.",
            },
            Self::MixedVersions => Runbook {
                see: "`nats server list` shows servers of different versions. An edit sends the stream's \
                     whole configuration back, and a server of another version may not know all of its \
                     fields, so that no stream is moved meanwhile; step-downs go on.",
                act: "Finish the upgrade; moves then go on by themselves.",
            },
            Self::AttemptsExhausted => Runbook {
                see: "The finding's `attempts` has reached `disruption.maxAttempts` (default 3). \
                     `status.recentActions` and the events `StepDownMissed`, `StepDownFailed` and \
                     `StreamMoveTimedOut` say how the attempts ended.",
                act: "Find out why, then change `resetToken` to any other value. The attempts are also \
                     forgotten when home changes.",
            },
        }
    }
}

impl Explained for Check {
    fn runbook(self) -> Runbook {
        match self {
            Self::StreamLeaderMisplaced => Runbook {
                see: "`status.findings` has the stream, its leader and the leader's location, the `remedy`, \
                     and the `reason` if something stands against it. `nats stream info S` shows the leader.",
                act: "Without a `reason` nothing: the policy's next actions cure it, if its mode is \
                     `Enforce`. With a `reason`, look that word up on this page.",
            },
            Self::ConsumerLeaderMisplaced => Runbook {
                see: "`status.findings` has the consumer with its stream, its leader and the leader's \
                     location, the `remedy`, and the `reason` if something stands against it. `nats consumer \
                     info S C` shows the leader.",
                act: "Without a `reason` nothing: the policy's next actions cure it, if its mode is \
                     `Enforce`. With a `reason`, look that word up on this page.",
            },
            Self::NoLocalLeader => Runbook {
                see: "`status.locations` marks the location with `noLocalLeader`: it has at least 5 \
                     connections and 10 % of the account's, and leads none of the selected streams although \
                     it has a JetStream server. `status.advice` may have a proposal.",
                act: "No leader is moved for it, since a stream has one leader only. Where these clients \
                     matter, mirror the busiest stream there, let it source a stream near its publishers, or \
                     split it by location.",
            },
            Self::HighGatewayShare => Runbook {
                see: "`status.gateway` has the share and the bytes per second: at least 30 % of the account's \
                     bytes and 1 MiB crossed gateways since the look before. `nats server report gateways` \
                     shows the links. Servers before 2.11.5 do not tell.",
                act: "Cure misplaced leaders first. What remains are clients in several locations: give \
                     readers a mirror near them, and publishers a stream of their own.",
            },
            Self::SeveralLocations => Runbook {
                see: "The message names the server, its tags that begin with `topology.tagPrefix`, and the one \
                     that counts. `nats server info NAME` shows its tags.",
                act: "Leave the server one tag of the prefix (`server_tags`), or choose a prefix of which each \
                     server has one.",
            },
        }
    }
}

impl Explained for ActionResult {
    fn runbook(self) -> Runbook {
        match self {
            Self::Succeeded => Runbook {
                see: "`status.recentActions` has it with `from` and `to`; an event `LeaderMoved` or \
                     `StreamMoveCompleted` says the same.",
                act: NOTHING,
            },
            Self::Missed => Runbook {
                see: "`status.recentActions` shows in `to` who leads instead. Servers before 2.11 choose the \
                     new leader at random; newer ones take another one in silence where the preferred peer \
                     is not well.",
                act: "Nothing at first: it is tried again after the cooldown, in favour of another peer where \
                     there is one. If it keeps missing, look at home's peers with `nats stream info S`: one \
                     that is always behind is never chosen.",
            },
            Self::Stalled => Runbook {
                see: "`status.recentActions` has the result, and the event `ConsumerStalled` says what was \
                     seen: messages are pending, and for a minute none was delivered or acknowledged.",
                act: "See [ConsumerStalled](#degraded-consumerstalled).",
            },
            Self::Failed => Runbook {
                see: "`status.recentActions` has the `reason` where one fits; the operator's log line \
                     \"operation ended\" has the server's own words in `detail`.",
                act: "Look the reason up on this page. Without one, go by the server's words: they name what \
                     it refused.",
            },
            Self::TimedOut => Runbook {
                see: "Of a step-down: no leader was seen for 20 s. Of a move: it was not done in \
                     `actions.streamPlacement.timeout` (default 1h). `nats stream info S` or `nats consumer \
                     info S C` shows the present state.",
                act: "For a step-down, see [NoLeader](#noleader). For a move, see \
                     [MoveTimedOut](#degraded-movetimedout).",
            },
            Self::Abandoned => Runbook {
                see: "The operator's log line \"operation ended\" says why in `detail`. \
                     `status.recentActions` lists it only if a request had been sent.",
                act: "Nothing: the world had changed since the plan, and the next round decides anew.",
            },
        }
    }
}
