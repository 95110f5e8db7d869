/**
 * Every example of the document, and answers of a running service, through the generated classes and out again.
 *
 *     java … RoundTripKt ../../openapi.json [answers.json]
 *
 * The second file is a list of `{"schema": …, "body": …}`.
 */

import java.io.File
import java.math.BigDecimal
import java.time.OffsetDateTime
import kotlinx.serialization.KSerializer
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import kotlinx.serialization.serializer
import org.mutuality.client.infrastructure.Serializer
import org.mutuality.client.models.ConsentGiven
import org.mutuality.client.models.DeviceRegistration
import org.mutuality.client.models.Event
import org.mutuality.client.models.EventKind
import org.mutuality.client.models.EventPage
import org.mutuality.client.models.Perspectives
import org.mutuality.client.models.Platform
import org.mutuality.client.models.PushProvider
import org.mutuality.client.models.TrendPoint

/** Something of the document that goes in or out, and the schema that it has. */
class Shown(val where: String, val schema: String, val value: JsonElement)

val json: Json by lazy {
    Serializer.kotlinxSerializationJsonConfiguration = {
        explicitNulls = false // what is not there is left out, never sent as null
        isLenient = false
    }
    Serializer.kotlinxSerializationJson
}

fun main(args: Array<String>) {
    val document = json.parseToJsonElement(File(args[0]).readText()).jsonObject
    val shown = shownIn(document) + args.drop(1).flatMap(::answersIn)
    val wrong = shown.mapNotNull(::fault)
    wrong.forEach(System.err::println)
    check(wrong.isEmpty()) { "${wrong.size} of ${shown.size} do not come out as they went in" }
    val schemas = shown.map { it.schema }.toSet()
    listOf("ConsentGiven", "DeviceRegistration", "Perspectives", "EventPage", "Balances", "Trend").forEach {
        check(it in schemas) { "nothing shows $it" }
    }
    plainConsent()
    noNullsForDevices()
    unknownKindsAreSkipped(shown.first { it.schema == "EventPage" }.value.jsonObject)
    bothFormsOfCounts()
    println("${shown.size} of ${shown.size} came out as they went in.")
}

/** All examples of bodies, answers and problems. */
fun shownIn(document: JsonObject): List<Shown> {
    val operations = document["paths"]!!.jsonObject.values.flatMap { it.jsonObject.values }.map { it.jsonObject }
    val found = operations.flatMap { operation ->
        val name = operation["operationId"]!!.jsonPrimitive.content
        val answers = operation["responses"]!!.jsonObject.filterKeys { it.startsWith("2") }
        val contents = listOfNotNull(operation["requestBody"]) + answers.values
        contents.flatMap { examplesOf(name, it.jsonObject) }
    }
    val problems = document["components"]!!.jsonObject["examples"]!!.jsonObject
    return found + problems.map { (code, one) -> Shown(code, "Problem", one.jsonObject["value"]!!) }
}

private fun examplesOf(name: String, content: JsonObject): List<Shown> {
    val media = content["content"]?.jsonObject?.get("application/json")?.jsonObject ?: return emptyList()
    val schema = media["schema"]!!.jsonObject["\$ref"]!!.jsonPrimitive.content.substringAfterLast("/")
    if (schema == "EmptyObject") return emptyList() // of which no class is made
    val several = media["examples"]?.jsonObject?.values?.map { it.jsonObject["value"]!! } ?: emptyList()
    return (listOfNotNull(media["example"]) + several).map { Shown(name, schema, it) }
}

fun answersIn(file: String): List<Shown> =
    json.parseToJsonElement(File(file).readText()).jsonArray.map { it.jsonObject }.map {
        Shown("an answer", it["schema"]!!.jsonPrimitive.content, it["body"]!!)
    }

/** What is wrong with it, if anything is. */
private fun fault(shown: Shown): String? = try {
    val came = roundTrip(shown.schema, shown.value)
    if (same(shown.value, came)) null else "${shown.where}, ${shown.schema}: ${shown.value}\n became $came"
} catch (error: Exception) {
    "${shown.where}, ${shown.schema}: $error"
}

private fun roundTrip(schema: String, value: JsonElement): JsonElement {
    @Suppress("UNCHECKED_CAST")
    val kind = serializer(Class.forName("org.mutuality.client.models.$schema")) as KSerializer<Any>
    return json.encodeToJsonElement(kind, json.decodeFromJsonElement(kind, value))
}

/** Whether two say the same: null is as absent, numbers are equal by value, times with their offsets. */
private fun same(one: JsonElement, other: JsonElement): Boolean = when (one) {
    is JsonObject -> other is JsonObject && (one.keys + other.keys).all {
        same(one[it] ?: JsonNull, other[it] ?: JsonNull)
    }
    is JsonArray -> other is JsonArray && one.size == other.size && one.zip(other).all { (a, b) -> same(a, b) }
    is JsonPrimitive -> other is JsonPrimitive && (one == other || meaning(one) == meaning(other))
}

private fun meaning(value: JsonPrimitive): Any = when {
    value.isString -> runCatching { OffsetDateTime.parse(value.content) }.getOrDefault(value.content)
    else -> runCatching { BigDecimal(value.content).stripTrailingZeros() }.getOrDefault(value.content)
}

private fun plainConsent() {
    check(json.encodeToString(ConsentGiven("1", true)) == """{"version":"1","adult":true}""")
}

private fun noNullsForDevices() {
    val sent = json.encodeToString(DeviceRegistration(Platform.ANDROID, PushProvider.FCM, token = "a-token"))
    check(sent == """{"platform":"android","provider":"fcm","token":"a-token"}""") { sent }
}

private fun unknownKindsAreSkipped(page: JsonObject) {
    val first = page["events"]!!.jsonArray.first().jsonObject
    val tomorrows = JsonObject(first + mapOf("kind" to JsonPrimitive("of_tomorrow"), "more" to JsonPrimitive(1)))
    val events = JsonArray(page["events"]!!.jsonArray + tomorrows)
    val decoded = json.decodeFromJsonElement(serializer<EventPage>(), JsonObject(page + mapOf("events" to events)))
    check(decoded.events.size == events.size)
    check(decoded.events.last().kind == EventKind.UNKNOWN_DEFAULT_OPEN_API)
    check(decoded.events.filter(::isKnown).size == events.size - 1)
}

/** Whether this app knows what kind of event it is; the others are skipped. */
fun isKnown(event: Event): Boolean = event.kind != EventKind.UNKNOWN_DEFAULT_OPEN_API

private fun bothFormsOfCounts() {
    val rest = """"on":"2026-11-29","n":0,"low":null,"high":null,"wide_low":null,"wide_high":null"""
    val split = json.decodeFromString<TrendPoint>("""{"counts":{"me":2,"partner":1,"both":0,"neither":0},$rest}""")
    val felt = json.decodeFromString<TrendPoint>("""{"counts":[0,0,1,0,0,2,0],$rest}""")
    check(split.counts!!.jsonObject["me"]!!.jsonPrimitive.content == "2")
    check(felt.counts!!.jsonArray.size == 7)
}
