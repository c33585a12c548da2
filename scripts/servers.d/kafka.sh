# Kafka (KRaft, one node that is broker and controller) for scripts/servers. The names kafka_* are the interface; see
# the head of scripts/servers.

kafka_url() { printf 'kafka://127.0.0.1:%s' "$(port_of kafka)"; }
kafka_variable() { printf TIDINGS_TEST_KAFKA; }
kafka_user() { :; }
kafka_signal() { printf TERM; }

java_major() { java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p'; }

kafka_missing() {
  local major=0
  command -v java >/dev/null && major=$(java_major)
  if [ "${major:-0}" -lt 17 ]; then echo default-jre-headless; fi
  if [ ! -f "$PROGRAMS/kafka/lib/complete" ] && ! command -v mvn >/dev/null; then echo maven; fi
}

# kafka_install downloads the jars that scripts/kafka/pom.xml names, unless these very jars are there.
kafka_install() {
  local dir=$PROGRAMS/kafka
  cmp -s "$ROOT/scripts/kafka/pom.xml" "$dir/lib/complete" && return
  progress "kafka: downloading the broker with mvn"
  mkdir -p "$dir"
  remove_inside "$dir" lib
  (cd "$ROOT/scripts/kafka" && mvn -B dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$dir/lib") \
    >>"$LOGS/install.log" 2>&1 || fail_with_tail "$LOGS/install.log" "kafka: mvn could not download the broker; check the network and try again"
  cp "$ROOT/scripts/kafka/pom.xml" "$dir/lib/complete"
}

# kafka_prepare writes the configuration and, once, formats the data directory. Topics are created by who uses them, so
# that a misspelt name is an error. Internal topics have few partitions: each costs a directory and open files. After a
# kill the controller refuses the broker until the session of the one before has ended, hence the short session.
kafka_prepare() {
  local dir=$BASE/kafka port
  port=$(port_of kafka)
  cat >"$dir/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$((port + 1))
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$dir/data
num.partitions=4
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=16777216
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000
PROPERTIES
  [ -f "$dir/data/meta.properties" ] && return
  java -cp "$PROGRAMS/kafka/lib/*" kafka.tools.StorageTool format --standalone --cluster-id "$(kafka_cluster_id)" \
    --config "$dir/server.properties" >>"$(log_of kafka)" 2>&1 || fail_with_log kafka "formatting the data directory failed"
}

# kafka_cluster_id prints 16 random bytes in URL-safe base64, which is how Kafka writes ids. What begins with a hyphen
# would be taken for a flag.
kafka_cluster_id() { head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=' | sed 's/^-/A/'; }

kafka_recover() { :; }

kafka_command() {
  COMMAND=(java -Xmx512m -XX:+ExitOnOutOfMemoryError -Dlog4j2.configurationFile="file:$ROOT/scripts/kafka/log4j2.properties"
    -cp "$PROGRAMS/kafka/lib/*" kafka.Kafka "$BASE/kafka/server.properties")
}
kafka_workdir() { printf '%s' "$BASE/kafka"; }

# kafka_answers sends a Metadata request (version 1, no topics) and reads the number of brokers: a broker that still
# starts is "fenced" and not counted, so a port that is merely open does not pass.
kafka_answers() {
  local port reply
  port=$(port_of kafka)
  reply=$(timeout 3 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
    printf "\0\0\0\016\0\03\0\01\0\0\0\01\377\377\0\0\0\0" >&3
    head -c 12 <&3 | od -An -tu1 -j 8 -N 4' _ "$port" 2>/dev/null) || return 1
  [[ $reply =~ [1-9] ]]
}
